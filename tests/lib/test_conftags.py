"""Passed options and <tags>, against what the installed fail2ban makes of its own filters."""

import json
import subprocess
from pathlib import Path

import pytest

from guard.lib.conffile import Unresolved, merge
from guard.lib.confparse import parse
from guard.lib.conftags import Definition, find_definition, join_call, split_call

ORACLE = Path(__file__).parent.parent / "oracles" / "fail2ban_reader.py"
STOCK = Path("/etc/fail2ban")
OPTIONS = ("failregex", "ignoreregex", "prefregex", "datepattern", "maxlines", "journalmatch")


def definition(text: str, **passed: str) -> Definition:
    """A filter file of this text."""
    return Definition(merge([("f", parse(text, "f")[0])]), passed)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postfix", ("postfix", {})),
        ("postfix[mode=auth]", ("postfix", {"mode": "auth"})),
        ("x[a=1, b=\"2,3\"][c='4]']", ("x", {"a": "1", "b": "2,3", "c": "4]"})),
        ("x[a=]", ("x", {"a": ""})),
        ("x[ a=1 , b= 2 ]\n", ("x", {"a": "1", "b": "2"})),
        ("x[b?family=inet6=2]", ("x", {"b?family=inet6": "2"})),
        ("x[]", ("x", {})),
    ],
)
def test_passed_options(text, expected):
    """The forms of jail.conf(5)."""
    assert split_call(text) == expected


@pytest.mark.parametrize("text", ["", "[a=1]", "x[a=1", "x[a]", "x[=1]", 'x[a="1]', "x[a=1]y"])
def test_a_malformed_call_is_refused(text):
    """Since 1.0 fail2ban refuses these too."""
    with pytest.raises(ValueError, match=r"name|option"):
        split_call(text)


def test_one_spelling_for_every_way_to_write_a_call():
    """So that a source and a jail that mean the same filter meet."""
    assert join_call(*split_call('x[b="2", a=1]')) == join_call(*split_call("x[a=1][b=2]"))
    for passed in ({"a": "1,2"}, {"a": "]"}, {"a": 'say "x"'}, {"a": "it's"}, {"a": "b c"}):
        assert split_call(join_call("x", passed)) == ("x", passed)


def test_tags_are_replaced_until_none_is_left():
    """Nested tags, passed before Init before Definition, other sections, known; HOST stays."""
    text = """\
[Definition]
mode = plain
re-plain = p <HOST>
re-more = <re-plain> m <one>
failregex = <re-<mode>> <lt_file/where> <known/one>
one = definition
[Init]
one = init
[lt_file]
where = in %(__name__)s
"""
    assert definition(text).get("failregex") == "p <HOST> in lt_file init"
    assert definition(text, mode="more", one="1").get("failregex") == (
        "p <HOST> m 1 in lt_file init"
    )


DOUBLING = "".join(f"t{i} = <t{i + 1}><t{i + 1}>\n" for i in range(40)) + "t40 = wwww"


@pytest.mark.parametrize("text", ["t0 = <t0>", "t0 = <y>\ny = <t0>", DOUBLING])
def test_tags_that_refer_to_themselves_or_explode_are_refused(text):
    """In time, and with what it is."""
    with pytest.raises(Unresolved, match="refers to itself"):
        definition(f"[Definition]\n{text}\n").get("t0")


def test_a_filter_is_found_in_the_first_folder_that_has_it(tmp_path):
    """With its .local; a name that is a path is refused."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    (two / "f.conf").write_text("[Definition]\nx = two\n")
    (two / "f.local").write_text("[Definition]\ny = local\n")
    found = find_definition("f", (one, two))
    assert found is not None
    assert (Definition(found).get("x"), Definition(found).get("y")) == ("two", "local")
    (one / "f.conf").write_text("[Definition]\nx = one\n")
    found = find_definition("f", (one, two))
    assert found is not None
    assert Definition(found).get("x") == "one"
    assert find_definition("g", (one, two)) is None
    for name in ("../two/f", "/etc/passwd", "", ".f", "a/b"):
        with pytest.raises(ValueError, match="name"):
            find_definition(name, (one, two))


@pytest.mark.fail2ban
def test_every_filter_of_fail2ban_reads_as_fail2ban_reads_it():
    """All installed filters in several modes and log types, option by option."""
    folder = STOCK / "filter.d"
    names = [path.stem for path in sorted(folder.glob("*.conf")) if path.stem != "selinux-common"]
    variants = (
        {},
        {"mode": "aggressive"},
        {"mode": "auth", "logtype": "journal"},
        {"mode": "ddos", "logtype": "rfc5424"},
        {"mode": "normal", "logtype": "short"},
    )
    asked = [[name, passed] for name in names for passed in variants]
    run = subprocess.run(
        ["/usr/bin/python3", str(ORACLE)],
        input=json.dumps({"base": str(STOCK), "filters": asked}),
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = json.loads(run.stdout)["filters"]
    assert len(theirs) == len(asked) > 300
    for (name, passed), expected in zip(asked, theirs, strict=True):
        conf = find_definition(name, (folder,))
        assert conf is not None
        ours = Definition(conf, passed)
        for option in OPTIONS:
            assert ours.get(option) == expected.get(option), (name, passed, option)
