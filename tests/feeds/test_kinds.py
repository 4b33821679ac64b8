"""Each kind of feed: what it reads, what it refuses, and how often it may come."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.feeds.abuseipdb import AbuseIpdbSettings
from guard.feeds.abuseipdb import parse as parse_abuseipdb
from guard.feeds.asn import AsnTable
from guard.feeds.dshield import DshieldSettings
from guard.feeds.dshield import parse as parse_dshield
from guard.feeds.listfiles import (
    BlocklistDeSettings,
    FireholSettings,
    IpsumSettings,
    MxrouteSettings,
    ScannersSettings,
)
from guard.feeds.plain import PlainSettings
from guard.feeds.recipe import BadFeed
from guard.feeds.spamhaus import SpamhausAsnDropSettings, SpamhausDropSettings, parse_drop
from guard.roles import Refused


def drop(*cidrs, records=None, size=None, last=True):
    """A DROP file in the JSON form, true or false."""
    lines = "".join(f'{{"cidr":"{cidr}","sblid":"SBL1","rir":null}}\n' for cidr in cidrs)
    trailer = (
        f'{{"type":"metadata","timestamp":1784798042,"size":{len(lines) if size is None else size},'
        f'"records":{len(cidrs) if records is None else records},'
        '"copyright":"(c) 2026 The Project","terms":"https://example/terms/"}\n'
    )
    return (lines + (trailer if last else "")).encode()


def texts(listed):
    return [str(network) for network in listed.networks]


def test_drop_keeps_notice_terms_and_date():
    """The three things that its owner asks to be kept with the data."""
    listed = parse_drop(drop("185.4.0.0/22", "2a03::/29"))
    assert texts(listed) == ["185.4.0.0/22", "2a03::/29"]
    assert (listed.notice, listed.terms) == ("(c) 2026 The Project", "https://example/terms/")
    assert listed.stamp == 1784798042
    assert parse_drop(drop()).networks == []


@pytest.mark.parametrize(
    "data",
    [
        drop("185.4.0.0/22", last=False),
        drop("185.4.0.0/22", records=2),
        drop("185.4.0.0/22", size=5),
        drop("185.4.0.1/22"),
        drop("185.4.0.0/22", "nonsense"),
        drop("185.4.0.0/22", "185.8.0.0/22")[:-30],
        drop("185.4.0.0/22", "185.8.0.0/22")[:60],
        drop("185.4.0.0/22").replace(b"{", b"", 1).replace(b'"cidr"', b'{"cidr'),
        b"{}",
        b'{"cidr":5}',
    ],
)
def test_drop_that_was_cut_or_altered_is_refused(data):
    """Without its last line, with another number of records or bytes, with a bad entry."""
    with pytest.raises(BadFeed, match=r".+"):
        parse_drop(data)


@given(st.integers(0, 400))
@settings(max_examples=100, deadline=None)
def test_drop_cut_anywhere_is_refused(at):
    """No prefix of the file but the whole is the file."""
    data = drop("185.4.0.0/22", "185.8.0.0/22", "2a03::/29")
    cut = data[: min(at, len(data) - 2)]
    if not cut:
        assert parse_drop(cut).networks == []  # an empty answer is refused by its count
        return
    with pytest.raises(BadFeed):
        parse_drop(cut)


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_read_or_refused(data):
    """Behind a brace too, where the JSON form begins."""
    for parse in (parse_drop, parse_abuseipdb, parse_dshield):
        for some in (data, b"{" + data, b'{"data":' + data):
            try:
                parse(some)
            except BadFeed:
                continue


def test_the_text_form_of_drop():
    """With the header that older copies have."""
    listed = parse_drop(b"; Spamhaus DROP List 2026/09/04 - (c) 2026 X\n185.4.0.0/22 ; SBL1\n")
    assert texts(listed) == ["185.4.0.0/22"]
    assert listed.notice == "Spamhaus DROP List 2026/09/04 - (c) 2026 X"


def test_real_copies_of_drop(shared):
    """Every copy passes its own checks; cut by a line it does not."""
    paths = sorted((shared / "feeds" / "spamhaus").glob("*.json"))
    assert len(paths) >= 4
    for path in paths:
        data = path.read_bytes()
        lines = data.splitlines(keepends=True)
        listed = parse_drop(data)
        assert len(listed.networks) == len(lines) - 1
        assert "Spamhaus" in listed.notice
        with pytest.raises(BadFeed):
            parse_drop(b"".join(lines[:500] + lines[501:]))
        with pytest.raises(BadFeed):
            parse_drop(b"".join(lines[:-1]))


def test_asn_drop_needs_a_table(tmp_path):
    """The systems' networks are taken from either form of table; other systems' are not."""
    table = tmp_path / "asn.tsv"
    table.write_text(
        "185.4.0.0/16\t932\n# comment\n185.5.0.0 185.5.0.255 AS64500 US NAME\n"
        "185.6.0.0\t185.6.1.255\t932\tUS\tXNNET\nbad 932\n2a03::/32 932\n185.7.0.0/16 9320\n"
    )
    made = SpamhausAsnDropSettings(asn_table=table)
    body = '{"asn":932,"rir":"arin","domain":"xn.net","cc":"US","asname":"XNNET"}\n'
    trailer = f'{{"type":"metadata","timestamp":1,"size":{len(body)},"records":1}}\n'
    parse = made.recipe().parts[0].parse
    assert texts(parse((body + trailer).encode())) == ["185.4.0.0/16", "185.6.0.0/23", "2a03::/32"]
    with pytest.raises(BadFeed, match="no asn"):
        parse(drop("185.4.0.0/22"))
    with pytest.raises(Refused, match="No such file"):
        AsnTable(tmp_path / "none").networks([1])


def test_abuseipdb_asks_with_its_key_and_limits(tmp_path):
    """Key in a header that is secret; five fetches a day unless the plan has more."""
    key = tmp_path / "key"
    key.write_text("s3cret\n")
    made = AbuseIpdbSettings(
        key_file=key, confidence=90, limit=500, ip_version="4", except_countries=("DE", "FR")
    ).recipe()
    part = made.parts[0]
    assert dict(part.headers)["Key"] == "s3cret"
    assert part.secret
    assert part.url.endswith(
        "blacklist?confidenceMinimum=90&limit=500&ipVersion=4&exceptCountries=DE%2CFR"
    )
    assert "s3cret" not in part.url
    assert made.least == 86400 / 5
    assert AbuseIpdbSettings(key_file=key, per_day=20, every=60.0).recipe().every == 4320
    with pytest.raises(Refused, match="key of AbuseIPDB"):
        AbuseIpdbSettings(key_file=tmp_path / "none").recipe()


def test_abuseipdb_answers_in_both_forms():
    """JSON with its time, plain text; an error that says 200 is refused."""
    data = (
        b'{"meta":{"generatedAt":"2026-03-15T10:00:00+00:00"},"data":['
        b'{"ipAddress":"185.4.0.1","countryCode":"XX","abuseConfidenceScore":100},'
        b'{"ipAddress":"2a03::1"}]}'
    )
    listed = parse_abuseipdb(data)
    assert texts(listed) == ["185.4.0.1", "2a03::1"]
    assert listed.stamp == 1773568800
    assert texts(parse_abuseipdb(b"185.4.0.1\n2a03::1\n")) == ["185.4.0.1", "2a03::1"]
    for bad in (b'{"errors":[{"detail":"x"}]}', b'{"data":[{}]}', b'{"data":'):
        with pytest.raises(BadFeed):
            parse_abuseipdb(bad)


def test_dshield_takes_block_and_length_from_its_columns():
    """Header and comments are passed over; a line of one address is that."""
    data = (
        b"# DShield.org Recommended Block List\n# (c) 2026\nStart\tEnd\tNetblock\tAttacks\n"
        b"185.4.0.0\t185.4.0.255\t24\t5231\tNAME\tUS\tabuse@x\n185.5.0.1\n185.6.0.0\tx\ty\n"
    )
    listed = parse_dshield(data)
    assert texts(listed) == ["185.4.0.0/24", "185.5.0.1"]
    assert listed.bad == 1


def test_every_kind_makes_a_recipe_of_its_own_pace():
    """Names, owners' least pace, and what each is called."""
    kinds = [
        (SpamhausDropSettings(every=60.0), "spamhaus-drop", 2, 3600.0),
        (MxrouteSettings(), "mxroute", 1, 3600.0),
        (BlocklistDeSettings(), "blocklist-de", 1, 1800.0),
        (DshieldSettings(), "dshield", 1, 3600.0),
        (FireholSettings(), "firehol", 1, 3600.0),
        (IpsumSettings(), "ipsum", 1, 3600.0),
        (ScannersSettings(urls=("http://x/a", "http://x/b")), "scanners", 2, 3600.0),
        (PlainSettings(name="mine", url="http://x/a", every=60.0), "mine", 1, 0.0),
    ]
    for made, name, parts, least in kinds:
        assert list(made.faults()) == []
        recipe = made.recipe()
        assert (recipe.name, len(recipe.parts), recipe.least) == (name, parts, least)
        assert recipe.every >= least
    assert IpsumSettings(level=3).recipe().parts[0].parse(b"185.4.0.1\t2\n").networks == []
    assert MxrouteSettings(name="bots").recipe().name == "bots"


def test_plain_reads_what_it_is_told(tmp_path):
    """Lines, a column, places in JSON; from a URL or a file."""
    csv = PlainSettings(name="a", url="http://x", column="ip").recipe().parts[0]
    assert texts(csv.parse(b"ip,x\n185.4.0.1,2\n")) == ["185.4.0.1"]
    json = PlainSettings(name="a", url="http://x", json=("ip",)).recipe().parts[0]
    assert texts(json.parse(b'{"ip":"185.4.0.1"}')) == ["185.4.0.1"]
    path = PlainSettings(name="a", path=tmp_path / "l").recipe().parts[0]
    assert path.url == f"file://{tmp_path}/l"


@pytest.mark.parametrize(
    ("made", "key"),
    [
        (PlainSettings(url="http://x"), "name"),
        (PlainSettings(name="a"), "url"),
        (PlainSettings(name="a", url="http://x", path=None, column="x", level=2), "column"),
        (PlainSettings(name="a b/c", url="http://x"), "name"),
        (MxrouteSettings(every=5.0), "every"),
        (MxrouteSettings(outlive=60.0), "outlive"),
        (MxrouteSettings(widest_ipv4=40), "widest_ipv4"),
        (MxrouteSettings(shrink=2.0), "shrink"),
        (MxrouteSettings(score=0), "score"),
        (IpsumSettings(level=0), "level"),
        (ScannersSettings(urls=()), "urls"),
    ],
)
def test_contradictions_are_faults(made, key):
    """Told with their key before anything is fetched."""
    assert key in [name for name, _ in made.faults()]


def test_abuseipdb_has_faults_of_its_own(tmp_path):
    """Confidence, countries, limit and plan."""
    bad = AbuseIpdbSettings(
        key_file=tmp_path,
        confidence=10,
        limit=-1,
        per_day=0,
        only_countries=("DE",),
        except_countries=("FR",),
    )
    assert {name for name, _ in bad.faults()} == {
        *("confidence", "except_countries", "limit", "per_day"),
    }


def test_the_key_of_abuseipdb_shows_nowhere(tmp_path):
    """Neither in the value that goes around, nor in the fault when there is more in the file."""
    path = tmp_path / "key"
    path.write_text("sesame42\n")
    recipe = AbuseIpdbSettings(key_file=path).recipe()
    assert dict(recipe.parts[0].headers)["Key"] == "sesame42"
    assert "sesame42" not in repr(recipe)
    for text in ("sesame42\nsesame43\n", "sesame42 mine", "", "sesame42\x00"):
        path.write_text(text)
        with pytest.raises(Refused, match=r"one word|is empty") as caught:
            AbuseIpdbSettings(key_file=path).recipe()
        assert "sesame" not in str(caught.value)
