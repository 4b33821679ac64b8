"""Configuration files laid over each other: order, includes, interpolation, every fault at once."""

import pytest

from guard.lib.conffile import Conf, Unresolved, layers, load, merge
from guard.lib.confparse import parse

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
