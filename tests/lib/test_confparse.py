"""fail2ban's configuration dialect: the same reading as ConfigParser's, and every fault told."""

import configparser

from hypothesis import given, settings
from hypothesis import strategies as st

from guard.lib.confparse import parse


def plain(sections):
    """Sections as text only."""
    return {name: {k: v.text for k, v in options.items()} for name, options in sections.items()}


LINES = st.sampled_from(
    ["[a]", "[b]", "[DEFAULT]", "[a", "x = 1", "X : 2", "y=", " more", "    deeper ; c", "", "  ",
     "# c", " # c", "; c", "z = v ;c", "z2 = v;w", "= nameless", "no separator", "[a] tail", "\t t",
     "k = a = b", "k2 : a = b", "é = ü", "\x0b", "w = \x85 v", "v =\x1f"]
)  # fmt: skip


@settings(deadline=None, max_examples=400)
@given(st.lists(LINES, max_size=12))
def test_files_are_read_as_the_config_parser_reads_them(lines):
    """Whatever Python's ConfigParser reads, Guard reads the same; what it refuses has a fault."""
    text = "\n".join(lines) + "\n"
    oracle = configparser.RawConfigParser(inline_comment_prefixes=";")
    sections, faults = parse(text, "f")
    try:
        oracle.read_string(text)
    except configparser.Error:
        assert faults
        return
    assert not faults
    expected = {name: dict(oracle._sections[name]) for name in oracle.sections()}
    assert {n: o for n, o in plain(sections).items() if n != "DEFAULT"} == expected
    assert plain(sections).get("DEFAULT", {}) == dict(oracle.defaults())


@settings(deadline=None, max_examples=200)
@given(st.text(alphabet="[]=:;# \n\tab%()s/é\x00", max_size=200))
def test_any_text_is_read_or_has_faults(text):
    """No text raises."""
    sections, faults = parse(text, "f")
    assert isinstance(sections, dict) and all(fault.file == "f" for fault in faults)


def test_every_fault_is_told_with_file_line_and_key():
    """All at once, and what is right in the same file is still there."""
    text = "early = 1\n[a]\nx = 1\nx = 2\nnonsense\n[b]\ny = 3\n[a]\nz = 4\n"
    sections, faults = parse(text, "jail.conf")
    assert [str(fault) for fault in faults] == [
        "jail.conf: line 1: no [section] before 'early = 1'",
        "jail.conf: [a] x: line 4: is in this section twice",
        "jail.conf: [a]: line 5: neither a [section] nor name = value: 'nonsense'",
        "jail.conf: [a]: line 8: the section is in this file twice",
    ]
    assert plain(sections) == {"a": {"x": "2", "z": "4"}, "b": {"y": "3"}}
