"""guard/filters/scanners.py and etc/scanners.toml: who is told by which words."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.events import Kind
from guard.filters.scanners import NOTHING, NOWHERE, Signatures, load_ranges, load_signatures
from guard.lib.networks import parse_address
from guard.roles import ConfigError
from guard.smtp.settings import shipped_scanners

SHIPPED = load_signatures(shipped_scanners())


@pytest.mark.parametrize(
    ("name", "scanner"),
    [
        ("expanse", "Expanse"),
        ("scan-12.xpanse.co", "Expanse"),
        ("zx18.quadmetrics.com", "quadmetrics"),
        ("YLMF-PC", "ylmf-pc"),
        ("census1.shodan.io", "Shodan"),
        ("scanner-01.ch1.censys-scanner.com", "Censys"),
        ("zg-0301a-12.stretchoid.com", "stretchoid"),
        ("example.monitoring.internet-measurement.com", "internet-measurement"),
        ("nmap.scanme.org", "nmap"),
        ("masscan", "masscan"),
    ],
)
def test_names(name, scanner):
    """Known host names, in any case."""
    assert SHIPPED.greeting(name) == (scanner, Kind.SCANNER)


@pytest.mark.parametrize(
    "name",
    [
        "mx.example.com",
        "mail.paloaltonetworks.com",
        "expanded.example",
        "notshodan.io.example",
        "localhost",
        "win-clj1b0gq6jp",
        "[192.0.2.1]",
        "censys.example.org",
        "we-guess.mozilla.org",
    ],
)
def test_innocent_names(name):
    """Whoever is merely called something alike."""
    assert SHIPPED.greeting(name) is None


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("GET / HTTP/1.1", "HTTP"),
        ("GET http://www.scanproxy.com:80/px_judge.php?p=25 HTTP/1.0", "HTTP"),
        ("CONNECT mx.example.org:25 HTTP/1.1", "HTTP"),
        ("OPTIONS sip:nm SIP/2.0", "nmap"),
        ("OPTIONS sip:100@192.0.2.1 SIP/2.0", "SIP"),
        ("SSH-2.0-Go", "SSH"),
        ("*1", "Redis"),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 2", "PROXY"),
        ('{"id":1,"method":"mining.subscribe"}', "JSON-RPC"),
        ("\x1b%-12345X@PJL INFO STATUS", "PJL"),
    ],
)
def test_protocols(line, name):
    """What is spoken on port 25 by mistake, or not."""
    assert SHIPPED.line(line).name == name


@pytest.mark.parametrize("line", ["HELP", "bogus", "RCPT TO:<get / http/1.1>", "", "Hello there"])
def test_other_lines(line):
    """Lines that are just wrong."""
    assert SHIPPED.line(line) is None


def test_first_bytes():
    """A protocol of bytes is known by its beginning, or may still become known."""
    assert SHIPPED.first(b"\x16\x03\x01\x02\x00").name == "TLS"
    assert SHIPPED.first(b"\x03\x00\x00\x2f*\xe0").name == "RDP"
    assert SHIPPED.first(b"\x16") is None
    assert SHIPPED.undecided(b"\x16")
    assert not SHIPPED.undecided(b"EHLO")
    assert SHIPPED.opening(b"\r\n\r\n\x00\r\nQUIT\n").name == "PROXY"


@given(st.binary(max_size=64), st.text(max_size=600))
def test_anything_may_be_asked(data, text):
    """No bytes and no text raise."""
    for known in (SHIPPED, NOTHING):
        known.first(data)
        known.undecided(data)
        known.opening(data)
        known.greeting(text)
        known.agent(text)
        known.line(text)


def test_an_operators_list(tmp_path):
    """Adds to the shipped one; groups in an expression are the operator's own business."""
    path = tmp_path / "mine.toml"
    path.write_text(
        "[[scanner]]\nname = 'Mine'\nehlo = ['(^|[.(])(foo|bar)\\.example$']\n"
        "[[protocol]]\nname = 'Ours'\nfirst = ['ff 00']\nline = ['HI(GH)?$']\n"
    )
    known = load_signatures([*shipped_scanners(), path])
    assert known.greeting("a.bar.example").name == "Mine"
    assert known.greeting("ylmf-pc").name == "ylmf-pc"
    assert known.line("HIGH").name == "Ours"
    assert known.first(b"\xff\x00\x01").name == "Ours"
    assert isinstance(known, Signatures)


def test_every_fault_is_told(tmp_path):
    """File, key and reason of each, at once."""
    path = tmp_path / "bad.toml"
    path.write_text(
        "[[scanner]]\nname = 'A'\nehlo = ['(', '']\nsince = 1\n[[scanner]]\nehlo = ['x']\n"
        "[[protocol]]\nname = 'B'\nfirst = ['xyz', '']\nline = 'x'\n[other]\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_signatures([path, tmp_path / "absent.toml"])
    keys = [fault.key for fault in caught.value.faults]
    twice = ["scanner[0].ehlo", "protocol[0].first"]
    once = ["scanner[0].since", "scanner[1].name", "protocol[0].line", "other", ""]
    assert sorted(keys) == sorted([*twice, *twice, *once])


def test_ranges(tmp_path, shared):
    """Lists of either form, named by their files."""
    (tmp_path / "mine_v4.txt").write_text("# ours\n192.0.2.0/24\n\n198.51.100.7 # one\n")
    (tmp_path / "misp.json").write_text('{"list": ["203.0.113.0/25", "2001:db8::/32"], "name": ""}')
    ranges = load_ranges([tmp_path / "mine_v4.txt", tmp_path / "misp.json"])
    assert ranges.find(parse_address("192.0.2.77")) == "mine"
    assert ranges.find(parse_address("198.51.100.7")) == "mine"
    assert ranges.find(parse_address("198.51.100.8")) is None
    assert ranges.find(parse_address("203.0.113.5")) == "misp"
    assert ranges.find(parse_address("2001:db8:5::1")) == "misp"
    assert NOWHERE.find(parse_address("192.0.2.77")) is None
    published = sorted((shared / "feeds/scanners").glob("*.txt"))
    assert load_ranges(published).find(parse_address("162.142.125.9")) == "censys"


def test_a_folder_of_ranges(tmp_path):
    """What is called as a list is, is read; what lies beside it is not."""
    for number, name in enumerate(("a.txt", "b.list", "c_v4.netset", "d.cidr", "e.ipset")):
        (tmp_path / name).write_text(f"198.51.100.{number}\n")
    for name in ("README.md", "LICENSE", ".txt.swp", "a.txt.new"):
        (tmp_path / name).write_text("read me\n")
    ranges = load_ranges([tmp_path])
    assert [ranges.find(parse_address(f"198.51.100.{number}")) for number in range(6)] == [
        *"abcde",
        None,
    ]


def test_faults_in_ranges(tmp_path):
    """A line that is none is left out; a file that is none, is empty, or is not there, is told."""
    (tmp_path / "a.txt").write_text("192.0.2.1/24\nx\n192.0.2.1\n")
    assert load_ranges([tmp_path / "a.txt"]).find(parse_address("192.0.2.1")) == "a"
    (tmp_path / "b.json").write_text('{"lists": []}')
    (tmp_path / "c.txt").write_text("<html>\n")
    paths = [tmp_path / name for name in ("a.txt", "b.json", "c.txt", "absent")]
    with pytest.raises(ConfigError) as caught:
        load_ranges(paths)
    assert [fault.file for fault in caught.value.faults] == [str(path) for path in paths[1:]]


REVERSE = {
    "census12.shodan.io": "Shodan",
    "scanner-27.ch1.censys-scanner.com": "Censys",
    "scan-59a.shadowserver.org": "Shadowserver",
    "zg-0823b-12.stretchoid.com": "stretchoid",
    "a.monitoring.internet-measurement.com": "internet-measurement",
    "zx18.quadmetrics.com": "quadmetrics",
    "zl-dal-us.internet-census.org": "internet-census",
    "a.binaryedge.ninja": "binaryedge",
    "security.ipip.net": "IPIP",
    # Those who write to mail servers, or only sound alike.
    "mail.shadowserver.org": None,
    "shadowserver.org": None,
    "notshodan.io": None,
    "shodan.io.example.org": None,
    "mail-ej1-f65.google.com": None,
    "": None,
}


@pytest.mark.parametrize("name", REVERSE)
def test_reverse_names(name):
    """A name that was confirmed says it, of hosts that do nothing but scan."""
    sign = SHIPPED.reverse(name)
    assert (sign and sign.name) == REVERSE[name]
    assert sign is None or sign.kind is Kind.SCANNER
    assert "shadowserver.org" in SHIPPED.domains


@pytest.mark.parametrize("text", ["", "com", "*.com", "*.example.org", "Shodan.io", "a b.org", "."])
def test_what_is_no_reverse_name(tmp_path, text):
    """Neither a whole top level, nor a star alone, nor what no name is."""
    path = tmp_path / "own.toml"
    path.write_text(f"[[scanner]]\nname = 'x'\nreverse = ['{text}']\n")
    with pytest.raises(ConfigError) as caught:
        load_signatures([path])
    assert "scanner[0].reverse" in str(caught.value)


def test_every_row_that_is_shipped_says_whence():
    """A scanner has a date and a source."""
    (path,) = shipped_scanners()
    rows = tomllib.loads(path.read_text())["scanner"]
    assert all(row.get("seen") and row.get("source") for row in rows)


def test_mechanisms():
    """What OpenVAS asks for gives it away; a mechanism alone is everybody's."""
    negotiation = "NTLM TlRMTVNTUAABAAAAB4IAgAAAAAAAAAAAAAAAAAAAAAA="
    assert SHIPPED.mechanism(negotiation) == ("OpenVAS", Kind.SCANNER)
    for text in ("NTLM", "LOGIN", "PLAIN AGFubgBzZWNyZXQ=", "CRAM-MD5", "", "x" * 9999):
        assert SHIPPED.mechanism(text) is None
