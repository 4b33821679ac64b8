"""Changing one line of a credentials file."""

import tomllib

from hypothesis import given, settings
from hypothesis import strategies as st

from guard.relay.passwd import entry, with_user, without_user

TEXT = '# staff\n"ann@a.test" = "1"\n\nbob = "2"  # leaves in May\n'


def test_a_new_user_comes_last_and_all_else_stays():
    """Comments and blank lines are the operator's."""
    assert with_user(TEXT, "carol", "3") == TEXT + '"carol" = "3"\n'
    assert with_user("", "carol", "3") == '"carol" = "3"\n'
    assert with_user("bob = '2'", "carol", "3") == 'bob = \'2\'\n"carol" = "3"\n'


def test_a_known_users_line_is_replaced_however_it_was_written():
    """Bare, quoted or literal keys are the same user."""
    assert with_user(TEXT, "ann@a.test", "9").splitlines()[1] == '"ann@a.test" = "9"'
    assert with_user(TEXT, "bob", "9").splitlines()[3] == '"bob" = "9"'
    assert with_user("'b b' = 'x'\r\n", "b b", "9") == '"b b" = "9"\n'


def test_a_user_is_removed_or_known_to_be_missing():
    """Also the only one."""
    assert without_user(TEXT, "bob") == '# staff\n"ann@a.test" = "1"\n\n'
    assert without_user('bob = "2"\n', "bob") == ""
    assert without_user(TEXT, "carol") is None
    assert without_user(TEXT, "leaves") is None


@settings(deadline=None, max_examples=200)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_any_printable_user_can_be_written_and_found_again(user):
    """What is written is what TOML reads, and a second time replaces the first."""
    assert tomllib.loads(entry(user, "h")) == {user: "h"}
    once = with_user(TEXT, user, "h1")
    twice = with_user(once, user, "h2")
    assert tomllib.loads(twice)[user] == "h2"
    assert len(twice.split("\n")) == len(once.split("\n"))
    assert user not in tomllib.loads(without_user(twice, user))
