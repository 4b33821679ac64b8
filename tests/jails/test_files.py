"""Jail files: the same jails as fail2ban makes of them, and every fault at once."""

import json
import subprocess
from pathlib import Path

import pytest

from guard.events import Kind, Window
from guard.jails.files import JailError, load_jails, read_jails, traps
from guard.jails.jail import Condition

PROJECT = Path(__file__).parent.parent.parent
ORACLE = PROJECT / "tests" / "oracles" / "fail2ban_reader.py"
KUMOMTA = PROJECT / "filter.d" / "kumomta.conf"


@pytest.fixture
def base(tmp_path):
    """A configuration with three filters and no jail."""
    for folder in ("jail.d", "filter.d"):
        (tmp_path / folder).mkdir()
    (tmp_path / "filter.d" / "text.conf").write_text("[Definition]\nfailregex = ^x <HOST>$\n")
    (tmp_path / "filter.d" / "kinds.conf").write_text(
        "[Definition]\nfailregex = ^y <HOST>$\nkinds = <kinds-<mode>>\n"
        "kinds-a = relay_denied, limit\nkinds-b = nonsense\n[Init]\nmode = a\n"
    )
    (tmp_path / "filter.d" / "empty.conf").write_text("[Definition]\nfailregex =\n")
    return tmp_path


def write(base, **files):
    """Writes jail.d/NAME_EXTENSION files."""
    for name, text in files.items():
        (base / "jail.d" / name.replace("_", ".")).write_text(text)


def read(base):
    """What is in the folders of `base`."""
    return read_jails([base / "jail.d"], [base / "filter.d"])


def theirs(base):
    """What the real fail2ban makes of `base`: its commands by jail."""
    run = subprocess.run(
        ["/usr/bin/python3", str(ORACLE)],
        input=json.dumps({"base": str(base), "jails": True}),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(run.stdout)["jails"]


def test_a_jail_is_read_with_everything_it_says(base):
    """All options that Guard obeys; the rest is fail2ban's business."""
    write(
        base,
        a_conf="""\
[DEFAULT]
ignoreip = 127.0.0.1/8 ::1
[one]
enabled = true
filter = kinds[mode=a]
maxretry = 3
findtime = 1h
bantime = -1
bantime.increment = yes
bantime.multipliers = 1 5 30
bantime.maxtime = 1w
bantime.rndtime = 1m
bantime.overalljails = true
ignoreself = no
ignoregood = yes
port = smtp
action = %(undefined)s
[two]
enabled = true
filter = text
""",
    )
    files = read(base)
    assert (files.faults, files.warnings) == ((), ())
    one, two = files.jails
    assert one.name == "one"
    assert one.filter == "kinds[mode=a]"
    assert one.kinds == {Kind.RELAY_DENIED, Kind.LIMIT}
    assert one.window == Window(3, 3600.0)
    assert one.bantime is None
    assert one.escalation is not None
    assert [one.escalation.length(10, n) for n in range(4)] == [10, 50, 300, 300]
    assert (one.escalation.maxtime, one.escalation.rndtime) == (604800.0, 60.0)
    assert one.escalation.overalljails
    assert [str(network) for network in one.ignoreip] == ["127.0.0.0/8", "::1"]
    assert (one.ignoreself, one.weak) == (False, True)
    assert (two.filter, two.kinds, two.window) == ("text", frozenset(), Window(5, 600.0))
    assert (two.bantime, two.escalation, two.ignoreself, two.weak) == (600.0, None, True, False)


def test_a_jail_may_name_the_kinds_itself(base):
    """What a jail passes goes before what the filter file says."""
    write(base, a_conf='[one]\nenabled = true\nfilter = kinds[kinds="auth_failed, limit"]\n')
    (jail,) = read(base).jails
    assert jail.kinds == {Kind.AUTH_FAILED, Kind.LIMIT}


def test_every_fault_is_told_at_once(base):
    """With the file that has the last word, jail and option; load_jails raises them all."""
    write(
        base,
        a_conf="""\
[one]
enabled = true
filter = nowhere
maxretry = none
findtime = 0
[two]
enabled = true
filter = kinds[mode=b]
bantime.increment = true
bantime.formula = __import__('os').system('true')
ignoreip = mail.example.com
[three]
enabled = true
[four]
enabled = true
filter = empty
bantime = %(nobody)s
ignorecommand = /bin/true <F-USER>
[five]
enabled = perhaps
[not a name]
enabled = true
filter = text
""",
        a_local="[one]\nbantime = ten\n",
    )
    faults = [str(fault).replace(f"{base}/", "") for fault in read(base).faults]
    assert [fault[: len(expected)] for fault, expected in zip(faults, EXPECTED, strict=True)] == (
        EXPECTED
    )
    with pytest.raises(JailError) as caught:
        load_jails([base / "jail.d", base / "gone"], [base / "filter.d"])
    assert len(caught.value.faults) == len(EXPECTED) + 1


EXPECTED = [
    "jail.d/a.conf: [one] filter: there is no filter 'nowhere' in ",
    "jail.d/a.conf: [one] findtime: '0' must be longer than nothing",
    "jail.d/a.conf: [one] maxretry: 'none' is not a whole number",
    "jail.d/a.local: [one] bantime: 'ten' is not a length of time",
    "filter.d/kinds.conf: [Definition] kinds, for jail two: 'nonsense' is not a valid Kind; the",
    "jail.d/a.conf: [two] bantime.formula: ",
    "jail.d/a.conf: [two] ignoreip: 'mail.example.com' is not an address or network",
    "jail.d/a.conf: [three] filter: is missing",
    "jail.d/a.conf: [four] filter: matches nothing",
    "jail.d/a.conf: [four] bantime: %(nobody)s is defined nowhere",
    "jail.d/a.conf: [four] ignorecommand: <F-USER> is not known here",
    "jail.d/a.conf: [five] enabled: 'perhaps' is neither true nor false",
    "jail.d/a.conf: [not a name]: the name of a jail has letters",
]


def test_slips_of_the_pen_are_warned_of(base):
    """An option that is nearly one, and one that Guard takes from the filter file only."""
    write(
        base, a_conf="[one]\nmaxretries = 3\nbantime.maxtim = 1h\nfailregex = x <HOST>\nport = 1\n"
    )
    assert [str(warning).replace(f"{base}/", "") for warning in read(base).warnings] == [
        "jail.d/a.conf: [one] maxretries: unknown option, did you mean maxretry?",
        "jail.d/a.conf: [one] bantime.maxtim: unknown option, did you mean bantime.maxtime?",
        "jail.d/a.conf: [one] failregex: is read by fail2ban only: put it into the filter file",
    ]


def test_a_jail_that_hears_of_nothing_is_warned_of(base):
    """One of a text filter that no source has, however the call is spelt; bans are heard of."""
    write(
        base,
        a_conf="[one]\nenabled = true\nfilter = text[a=1, b=2]\n"
        "[two]\nenabled = true\nfilter = kinds\n[three]\nfilter = text\nmaxretries = 1\n"
        "[again]\nenabled = true\nfilter = guard[mode=ban]\n",
    )
    (base / "filter.d" / "guard.conf").write_text("[Definition]\nfailregex = ^ban <HOST>$\n")
    folders = [base / "jail.d"], [base / "filter.d"]
    assert len(traps(*folders, ['text[b="2"][a=1]'])) == 1
    found = [str(fault).replace(f"{base}/", "") for fault in traps(*folders, ["text", "x[", ""])]
    assert found == [
        "jail.d/a.conf: [three] maxretries: unknown option, did you mean maxretry?",
        "jail.d/a.conf: [one] filter: no [[source]] has "
        'filter = "text[a=1, b=2]": this jail hears of nothing',
    ]


@pytest.mark.parametrize(
    ("conf", "local", "runs"),
    [
        ("enabled = true", "", True),
        ("enabled = false", "", False),
        ("", "", False),
        ("enabled = false\nguard = true", "", True),
        ("enabled = true\nguard = false", "", False),
        ("enabled = false\nguard = true", "enabled = false", False),
        ("enabled = false\nguard = true", "guard = false", False),
        ("enabled = false\nguard = false", "enabled = true", True),
        ("enabled = false\nguard = true", "maxretry = 9", True),
    ],
)
def test_the_later_word_of_enabled_and_guard_counts(base, conf, local, runs):
    """`guard = true` runs a jail that is off for fail2ban; a later file switches it off again."""
    write(base, a_conf=f"[one]\nfilter = text\n{conf}\n", a_local=f"[one]\n{local}\n")
    assert bool(read(base).jails) is runs


@pytest.mark.fail2ban
def test_fail2ban_reads_the_same_of_the_same_files(base):
    """Order of files, defaults, .local, interpolation and known/..: the same values per jail."""
    (base / "jail.conf").write_text(
        "[DEFAULT]\nmaxretry = 5\nfindtime = 10m\nbantime = 10m\nbackend = polling\nmode = a\n"
        "action =\nignoreself = true\nfilter = %(__name__)s[mode=%(mode)s]\n"
        "[text]\nmaxretry = 7\n"
    )
    (base / "jail.local").write_text("[DEFAULT]\nfindtime = 2h\n[kinds]\nenabled = true\n")
    write(
        base,
        a_conf="[text]\nenabled = true\nbantime = %(findtime)s\nignoreip = 192.0.2.1 192.0.2.2\n"
        "[off]\nfilter = nowhere\n",
        b_conf="[text]\nignoreip = %(known/ignoreip)s\n  198.51.100.0/24\n",
        z_local="[text]\nmaxretry = %(known/maxretry)s5\nbantime = %(kinds/maxretry)s1m\n"
        "guard = true\nignoregood = true\n",
    )
    commands = theirs(base)
    files = read(base)
    assert not files.faults
    assert [jail.name for jail in files.jails] == list(commands) == ["text", "kinds"]
    for jail in files.jails:
        said = {c[2]: c[3:] for c in commands[jail.name] if c[0] == "set"}
        assert jail.window.maxretry == said["maxretry"][0]
        assert f"{jail.window.findtime / 3600:.0f}h" == said["findtime"][0]
        assert [str(network) for network in jail.ignoreip] == said.get("addignoreip", [])
    assert files.jails[0].bantime == 51 * 60
    assert {c[2]: c[3] for c in commands["text"] if c[0] == "set"}["bantime"] == "51m"
    assert files.jails[0].window.maxretry == 75


@pytest.mark.fail2ban
def test_fail2bans_own_configuration_is_read_without_complaint():
    """jail.conf with its includes and all that Debian enables."""
    stock = Path("/etc/fail2ban")
    files = read_jails([stock / "jail.d"], [stock / "filter.d"])
    assert not files.faults and not files.warnings
    assert [jail.name for jail in files.jails] == ["sshd"]


def test_the_shipped_jails_run_in_guard():
    """Five jails, each with kinds, a window and a ban that grows."""
    jails = {jail.name: jail for jail in load_jails([PROJECT / "jail.d"], [PROJECT / "filter.d"])}
    assert {"kumomta-relay", "kumomta-auth", "kumomta-protocol", "kumomta-scanner",
            "kumomta-slow"} <= jails.keys()  # fmt: skip
    assert jails["kumomta-scanner"].window.maxretry == 1
    assert not jails["kumomta-scanner"].weak
    for name in ("relay", "auth", "protocol", "scanner", "slow"):
        jail = jails[f"kumomta-{name}"]
        assert jail.kinds and jail.escalation and jail.bantime
        assert Kind.OTHER not in jail.kinds and Kind.LIMIT not in jail.kinds
    slow = jails["kumomta-slow"].window
    # Every twenty minutes, for as long as the window reaches.
    assert slow.findtime / 1200 > slow.maxretry


@pytest.mark.fail2ban
def test_the_shipped_jails_are_off_in_fail2ban(base):
    """As everything that fail2ban ships; switched on, it takes every option."""
    for kind in ("jail.d", "filter.d"):
        (base / kind / "kumomta.conf").write_bytes((PROJECT / kind / "kumomta.conf").read_bytes())
    assert theirs(base) == {}
    write(base, z_local="[DEFAULT]\nenabled = true\n[kumomta-slow]\nenabled = true\n")
    commands = theirs(base)
    assert list(commands) == ["kumomta-slow"]
    said = {c[2] for c in commands["kumomta-slow"]}
    assert {"maxretry", "findtime", "bantime", "bantime.increment", "datepattern"} <= said
    assert not {"guard", "ignoregood", "kinds"} & said
    assert ["config-error"] not in [c[:1] for c in commands["kumomta-slow"]]


def test_an_ignorecommand_is_kept_as_it_is_written(base):
    """Checked when it is read: it can be split, and has only tags that Guard fills in."""
    write(
        base,
        a_conf=(
            "[one]\nenabled = true\nfilter = kinds\nignorecommand = /bin/x '<ip> a' <family>\n"
            "[two]\nenabled = true\nfilter = kinds\n"
            "[bad]\nenabled = true\nfilter = kinds\nignorecommand = /bin/x 'open\n"
        ),
    )
    found = read(base)
    assert [jail.ignorecommand for jail in found.jails][:2] == ["/bin/x '<ip> a' <family>", ""]
    assert "cannot be split" in str(found.faults[0])


CONDITIONS = """\
[DEFAULT]
abuseipdb.score = 75
[one]
enabled = true
filter = kinds
maxretry = 10
abuseipdb.maxretry = %(half)s
half = 5
zen.score = 100
[two]
enabled = true
filter = kinds
"""


def test_a_score_is_a_condition_of_a_jail(base):
    """Inherited and interpolated as any option; of whom it holds one rejection is enough."""
    write(base, a_conf=CONDITIONS)
    found = read(base)
    assert not found.faults and not found.warnings
    one, two = found.jails
    assert one.conditions == (Condition(name="abuseipdb", score=75, maxretry=5),
                              Condition(name="zen", score=100))  # fmt: skip
    assert two.conditions == (Condition(name="abuseipdb", score=75, maxretry=1),)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("abuseipdb.score = 101", "'101' is not a score from 1 to 100"),
        ("abuseipdb.score = 0", "'0' is not a score from 1 to 100"),
        ("zen.maxretry = 2", "means nothing without zen.score"),
        ("zen.score = 100\nzen.maxretry = 0", "not a whole number of at least 1"),
    ],
)
def test_a_condition_that_cannot_hold_is_a_fault(base, line, said):
    """With file, jail and option."""
    write(base, a_conf=f"[one]\nenabled = true\nfilter = kinds\n{line}\n")
    (fault,) = read(base).faults
    assert said in str(fault)
    write(base, a_conf="[one]\nenabled = true\nfilter = kinds\nabuseipd.score = 9\n")
    assert "did you mean abuseipdb.score" in str(read(base).warnings[0])


@pytest.mark.fail2ban
def test_fail2ban_passes_over_conditions(base):
    """It reads the same jails from the same file, and says nothing of what it does not know."""
    write(base, a_conf=CONDITIONS.replace("kinds", "text"))
    commands = theirs(base)
    assert list(commands) == ["one", "two"]
    said = {c[2]: c[3] for c in commands["one"] if c[0] == "set"}
    assert said["maxretry"] == 10
    assert not [name for name in said if "." in name and not name.startswith("bantime.")]
    assert ["config-error"] not in [c[:1] for c in commands["one"]]
