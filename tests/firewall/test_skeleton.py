"""The template has what the role asks for, so that a copy of it starts right."""

import inspect

import pytest

from guard.firewall.skeleton import Skeleton
from guard.roles import Firewall


def test_the_skeleton_has_every_method_of_the_role_with_its_signature():
    """A change of the role has to change the template."""
    for name, method in inspect.getmembers(Firewall, inspect.isfunction):
        if not name.startswith("_"):
            assert inspect.signature(getattr(Skeleton, name)) == inspect.signature(method), name
    assert Skeleton.name


def test_the_skeleton_itself_does_nothing():
    """Nobody takes the template for a firewall."""
    made: Firewall = Skeleton((25,))
    for call in (made.open, made.close, lambda: made.blocked(1.0), lambda: made.replace([], 1.0)):
        with pytest.raises(NotImplementedError):
            call()
    with pytest.raises(NotImplementedError):
        made.apply([], [], 1.0)
