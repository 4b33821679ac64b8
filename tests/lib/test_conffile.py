"""fail2ban's configuration dialect: the same reading as ConfigParser's, and every fault at once."""

import configparser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.lib.conffile import Conf, Unresolved, layers, load, merge, parse

FILE = """\
# a comment
[DEFAULT]
Port : smtp
base = /var/log

[jail]
; another
logpath = %(base)s/one ; inline
          %(base)s/two

  # inside the value
          %(base)s/three;not a comment
maxretry=5
"""


def conf_of(*texts: str) -> Conf:
    """The texts laid over each other as files 0, 1, 2 ..."""
    return merge((str(i), parse(text, str(i))[0]) for i, text in enumerate(texts))


def plain(sections):
    """Sections as text only."""
    return {name: {k: v.text for k, v in options.items()} for name, options in sections.items()}


def test_a_file_is_read_as_an_operator_wrote_it():
    """Names in lower case, both separators, continuation, comments of three sorts, defaults."""
    conf = conf_of(FILE)
    assert conf.names() == ["jail"]
    assert conf.get("jail", "port") == "smtp"
    assert (
        conf.get("jail", "logpath") == "/var/log/one\n/var/log/two\n\n/var/log/three;not a comment"
    )
    assert conf.get("jail", "maxretry") == "5"
    assert conf.get("jail", "bantime") is None
    assert conf.get("no-such-jail", "port") is None


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


def test_interpolation():
    """%(name)s, %% and %(__name__)s; of another section, of the defaults, of what was known."""
    conf = conf_of(
        "[DEFAULT]\nd = dee\n[a]\nx = 50%%\ny = %(x)s of %(__name__)s %(b/z)s %(default/d)s\n"
        "[b]\nz = %(Z2)s\nz2 = zed\n[c]\nw = %(b/d)s\n",
        "[a]\nx = %(known/x)s and more\n[c]\nw2 = %(b/z2)s\n",
    )
    assert conf.get("a", "x") == "50% and more"
    assert conf.get("c", "w") == "dee"
    assert conf.get("c", "w2") == "zed"
    # As in ConfigParser, what %(b/z)s refers to in turn is looked for where the value is used.
    with pytest.raises(Unresolved, match="%\\(Z2\\)s is defined nowhere"):
        conf.get("a", "y")
    assert conf.get("a", "y", {"z2": "given"}) == "50% and more of a given dee"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("5%", "must be doubled"),
        ("%(x", "must be doubled"),
        ("%(nobody)s", "defined nowhere"),
        ("%(no/where)s", "defined nowhere"),
        ("%(x)s", "circle"),
        ("%(known/x)s", "defined nowhere"),
    ],
)
def test_what_cannot_be_resolved_says_why(value, reason):
    """No loop runs for ever, and no % is guessed at."""
    with pytest.raises(Unresolved, match=reason):
        conf_of(f"[a]\nx = {value}\n").get("a", "x")


def test_values_that_double_are_bounded():
    """References nested beyond ten are refused before they grow."""
    lines = "\n".join(f"x{i} = %(x{i + 1})s%(x{i + 1})s" for i in range(40))
    with pytest.raises(Unresolved):
        conf_of(f"[a]\n{lines}\nx40 = y\n").get("a", "x0")


def test_a_conditional_section_keeps_its_condition_with_the_option():
    """[Init?family=inet6] belongs to [Init]."""
    conf = conf_of("[Init]\nx = 4\n[Init?family=inet6]\nx = 6\n")
    assert conf.get("Init", "x") == "4"
    assert conf.get("Init", "x?family=inet6") == "6"


def test_layers_are_in_fail2bans_order(tmp_path):
    """NAME.conf, NAME.d/*.conf, NAME.local, NAME.d/*.local; the last word wins."""
    (tmp_path / "jail.d").mkdir()
    names = ["jail.conf", "jail.d/a.conf", "jail.d/b.conf", "jail.local", "jail.d/a.local"]
    for name in reversed(names):
        (tmp_path / name).write_text(f"[j]\nlast = {name}\n{name.replace('/', '-')} = 1\n")
    files = layers(tmp_path / "jail")
    assert [str(file.relative_to(tmp_path)) for file in files] == names
    conf = load(files)
    assert conf.get("j", "last") == "jail.d/a.local"
    assert [option.rank for option in conf.options("j").values()] == [4, 0, 1, 2, 3, 4]


def test_includes_lie_around_their_file_and_bring_their_local(tmp_path):
    """before, the file, after; each with its .local; what is missing is left out; loops end."""
    (tmp_path / "main.conf").write_text(
        "[INCLUDES]\nbefore = one.conf\n  gone.conf\nafter = two.conf\n[a]\nx = main\n"
    )
    (tmp_path / "one.conf").write_text("[INCLUDES]\nbefore = main.conf\n[a]\nx = one\ny = one\n")
    (tmp_path / "one.local").write_text("[a]\ny = one-local\n")
    (tmp_path / "two.conf").write_text("[a]\nz = %(known/x)s\n")
    conf = load([tmp_path / "main.conf"])
    assert [file.rsplit("/", 1)[1] for file in conf.files] == [
        "one.conf", "one.local", "main.conf", "two.conf"
    ]  # fmt: skip
    assert (conf.get("a", "x"), conf.get("a", "y"), conf.get("a", "z")) == (
        "main",
        "one-local",
        "one",
    )
    assert not conf.faults


def test_includes_that_multiply_are_bounded(tmp_path):
    """Thirty files that each include all others end soon, with a fault."""
    names = [f"f{i}.conf" for i in range(30)]
    for name in names:
        (tmp_path / name).write_text("[INCLUDES]\nbefore = " + "\n  ".join(names) + "\n[a]\nx=1\n")
    conf = load([tmp_path / "f0.conf"])
    assert [fault.message for fault in conf.faults] == ["too many includes"]
    assert len(conf.files) < 300


def test_what_cannot_be_read_is_a_fault_and_hides_nothing(tmp_path):
    """Not UTF-8, a folder, a huge file: told, and the others are read."""
    (tmp_path / "a.conf").write_bytes(b"[a]\nx = \xff\n")
    (tmp_path / "b.conf").mkdir()
    (tmp_path / "c.conf").write_bytes(b"[a]\n" + b"#" * 5_000_000)
    (tmp_path / "d.conf").write_text("[a]\ny = 1\n")
    conf = load([tmp_path / f"{name}.conf" for name in "abcd"])
    assert [fault.file.rsplit("/", 1)[1] for fault in conf.faults] == ["a.conf", "b.conf", "c.conf"]
    assert conf.get("a", "y") == "1"
