"""guard/lib/openfiles.py: the soft limit is raised, never beyond what is allowed."""

import resource

from guard.lib.openfiles import as_many_as_possible


def test_the_soft_limit_is_raised():
    """To the hard one, and it stays there."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 1000), hard))
        assert as_many_as_possible() == hard
        assert as_many_as_possible() == hard
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
