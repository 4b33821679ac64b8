"""What `guard check` makes of sources that need no filter."""

import pytest

from guard import assemble


@pytest.mark.parametrize("kind", ["syslog", "stdin"])
def test_a_source_of_records_needs_no_filter(tmp_path, kind):
    """Such a source is documented without a filter, so that it is neither fault nor traceback."""
    path = tmp_path / "guard.toml"
    path.write_text(f'[state]\ndir = "{tmp_path}"\n[[source]]\ntype = "{kind}"\n')
    assert all("filter" not in warning.key for warning in assemble.check(path))
