"""KumoMTA's listener_domains files: reading, merging, look-up, faults."""

import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.lib.networks import parse_address
from guard.relay.listener_domains import ListenerDomains, load, parse
from guard.relay.options import ListenerDomain
from guard.relay.verdict import Reports
from guard.roles import ConfigError

# Written for this test in the shape of an operator's file.
OURS = """
["*"]
log_oob = true
["mail.test"]
relay_to = true
["bounces.mail.test"]
log_oob = "LogThenDrop"
["out.mail.test"]
relay_from = ["192.0.2.0/28"]
["*.mail.test"]
relay_to = true
log_arf = true
["closed.mail.test"]
relay_to = false
[listener."127.0.0.1:25"."*.mail.test"]
log_arf = "LogThenRelay"
[listener."127.0.0.1:25"."*"]
relay_to = true
"""
PLACES = {
    ("mail.test", "h:25"): '"mail.test"',
    ("a.b.mail.test", "h:25"): '"*.mail.test"',
    ("bounces.mail.test", "h:25"): '"bounces.mail.test"',
    ("x.bounces.mail.test", "h:25"): '"*"',
    ("closed.mail.test", "h:25"): '"closed.mail.test"',
    ("other.test", "h:25"): '"*"',
    ("Mail.Test", "h:25"): '"*"',
    ("", "h:25"): '"*"',
    ("[10.0.0.1]", "h:25"): '"*"',
    # The listener's own section comes first, and hides all of the rest that it matches.
    ("bounces.mail.test", "127.0.0.1:25"): 'listener."127.0.0.1:25"."*.mail.test"',
    ("mail.test", "127.0.0.1:25"): '"mail.test"',
    # Its bare `*` does not hold for a TLD that the section mentions.
    ("other.test", "127.0.0.1:25"): '"*"',
    ("other.example", "127.0.0.1:25"): 'listener."127.0.0.1:25"."*"',
    ("", "127.0.0.1:25"): 'listener."127.0.0.1:25"."*"',
}


def domains(text: str, file: str = "d.toml") -> ListenerDomains:
    """The set that TOML text makes."""
    return parse(tomllib.loads(text), file)


def write(path: Path, text: str) -> Path:
    """A file with `text`."""
    path.write_text(text)
    return path


@pytest.mark.parametrize(("asked", "key"), PLACES.items())
def test_the_first_hit_wins_entirely(asked, key):
    """Exact listener, then all listeners, then `*`; no merging, and the place is known."""
    found = domains(OURS).find(*asked)
    assert found
    assert found.where() == f"d.toml:{key}"


def test_an_entry_is_exactly_what_it_sets():
    """Nothing of a broader entry or of another listener shows through."""
    some = domains(OURS)
    bounces = some.find("bounces.mail.test", "h:25")
    assert bounces
    assert bounces.options == ListenerDomain(log_oob=Reports.LOG_THEN_DROP)
    below = some.find("bounces.mail.test", "127.0.0.1:25")
    assert below
    assert below.options == ListenerDomain(log_arf=Reports.LOG_THEN_RELAY)


def test_nothing_is_found_without_entries():
    """No files, no configuration: not even for the null sender."""
    assert load([]).find("example.com", "127.0.0.1:25") is None
    assert domains('["a.test"]').find("b.test", "x:25") is None


def test_later_files_override_option_by_option(tmp_path):
    """Lists are replaced, other options stay, and each option knows the file that set it."""
    first = write(
        tmp_path / "a.toml",
        '["a.test"]\nrelay_to = true\nrelay_from = ["192.0.2.1"]\n[listener."l:25"."a.test"]\n',
    )
    second = write(
        tmp_path / "b.json",
        json.dumps({"a.test": {"relay_from": ["192.0.2.2"], "log_arf": True}, "b.test": {}}),
    )
    some = load([first, second])
    found = some.find("a.test", "h:25")
    assert found
    assert found.options.relay_to
    assert list(map(str, found.options.relay_from)) == ["192.0.2.2"]
    assert found.where("relay_to") == f'{first}:"a.test".relay_to'
    assert found.where("relay_from") == f'{second}:"a.test".relay_from'
    assert found.where("log_oob") == f'{second}:"a.test"'
    assert some.find("b.test", "h:25")
    assert some.find("a.test", "l:25").options == ListenerDomain()


def test_in_one_file_a_plain_domain_replaces_that_of_all_listeners():
    """`listener."*"` is where plain domains live; the helper writes those last."""
    some = domains('["a.test"]\nlog_oob = true\n[listener."*"."a.test"]\nrelay_to = true\n')
    found = some.find("a.test", "h:25")
    assert found
    assert found.options == ListenerDomain(log_oob=Reports.LOG)


def test_a_name_that_does_not_end_in_toml_is_json(tmp_path):
    """As KumoMTA tells them apart, by name alone."""
    path = write(tmp_path / "domains", '{"a.test": {"relay_to": true}}')
    assert load([path]).find("a.test", "h:25").options.relay_to


def test_every_fault_is_named_with_file_and_key(tmp_path):
    """Faults of all files come together; nothing is loaded."""
    first = write(
        tmp_path / "a.toml",
        """
        ["a.test"]
        log_fbl = true
        relay_from = ["10.0.0.1/24", "10.1.0.0/24"]
        [listener."127.0.0.1:25"."*.a.test"]
        log_arf = "yes"
        """,
    )
    second = write(tmp_path / "b.json", '{"b.test": 1, "listener": {"l:25": [], "m:25": {"c": 2}}}')
    broken = write(tmp_path / "c.toml", "[")
    array = write(tmp_path / "d.json", "[]")
    latin = tmp_path / "e.toml"
    latin.write_bytes(b"# \xe9\n")
    deep = write(tmp_path / "f.json", "[" * 100_000)
    missing = tmp_path / "g.toml"
    with pytest.raises(ConfigError) as error:
        load([first, second, broken, array, latin, deep, missing])
    lines = [line.removeprefix(f"{tmp_path}/") for line in str(error.value).splitlines()]
    assert lines[:7] == [
        'a.toml: listener."127.0.0.1:25"."*.a.test".log_arf: must be true, false, '
        "'Ignore', 'LogThenDrop', 'LogThenRelay', not 'yes'",
        'a.toml: "a.test".log_fbl: unknown option, did you mean log_arf?',
        'a.toml: "a.test".relay_from[0]: 10.0.0.1/24 is not a valid CIDR: '
        "host part of address was not zero. Did you mean 10.0.0.0/24?",
        'b.json: listener."l:25": must be a table, not []',
        'b.json: listener."m:25"."c": must be a table, not 2',
        'b.json: "b.test": must be a table, not 1',
        lines[6],
    ]
    starts = ["c.toml: not TOML: ", "d.json: must be", "e.toml: not TOML: ", "f.json: not JSON: "]
    starts.append("g.toml: No such file")
    assert len(lines) == 11
    assert all(map(str.startswith, lines[6:], starts))


def test_a_domain_without_quotes_is_explained():
    """TOML reads `[example.com]` as a table in a table, the commonest slip in these files."""
    with pytest.raises(ConfigError) as error:
        domains("[example.com]\nrelay_to = true\n")
    assert str(error.value) == (
        'd.toml: "example".com: unknown option; a domain with dots is written in quotes, '
        'as in ["example.com"]'
    )


def test_kumomtas_vectors(shared: Path):
    """Every row that was run on KumoMTA's own helper; `true` for a report is Log with us."""
    folder = shared / "kumomta"
    rows = json.loads((folder / "vectors/listener_domains_vectors.json").read_text())
    assert rows
    for row in rows:
        some = load([folder / "listener_domains" / row["config"]])
        entry = some.find(row["domain"], row["listener"])
        assert (entry is None) == (row["expected"] is None), row
        if entry is None:
            continue
        relay_from = list(map(str, entry.options.relay_from))
        if row["meta"].get("authz_id") in entry.options.relay_from_authz:
            host = row["meta"]["received_from"].rpartition(":")[0].strip("[]")
            relay_from = [str(parse_address(host))]
        modes = {Reports.LOG: "LogThenRelay"}
        assert {
            "relay_to": entry.options.relay_to,
            "relay_from": relay_from,
            "log_oob": modes.get(entry.options.log_oob, entry.options.log_oob),
            "log_arf": modes.get(entry.options.log_arf, entry.options.log_arf),
        } == {"relay_from": [], **row["expected"]}, row


def test_kumomtas_stock_file_loads_unchanged(shared: Path):
    """The file that KumoMTA ships."""
    some = load([shared / "kumomta/listener_domains/listener_domains.toml"])
    assert some.find("example.com", "h:25").options == ListenerDomain(relay_to=True)
    assert some.find("else.where", "h:25").options == ListenerDomain(
        log_oob=Reports.LOG, log_arf=Reports.LOG
    )


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["listener", "*", "a.b", "relay_to", "relay_from", "log_oob", "x"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=200)
@given(st.dictionaries(st.sampled_from(["listener", "*", "a.b", ""]), _JSON, max_size=4))
def test_any_data_is_a_set_or_a_configuration_error(data):
    """Whatever the file holds, it loads or every reason is named; never anything else."""
    try:
        some = parse(data, "f")
    except ConfigError as error:
        assert error.faults
        assert all(fault.file == "f" and fault.key for fault in error.faults)
    else:
        assert len(some.entries) >= len(data.keys() - {"listener"})
