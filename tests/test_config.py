"""guard.toml gives typed settings, or every fault at once."""

from pathlib import Path

import pytest

from guard import config
from guard.lib.faults import Fault

FIVE_FAULTS = """
stae = 1
[store]
url = "http://localhost"
[[listener]]
listen = "0.0.0.0:99999"
relay_hosts = ["10.0.0.1/24"]
[firewall]
backend = "nft"
"""


def _two(one: str, other: str) -> str:
    """Two listeners."""
    return f"[[listener]]\nlisten = '{one}'\n[[listener]]\nlisten = '{other}'"


def write(folder: Path, text: str) -> Path:
    """A configuration file with `text`."""
    path = folder / "guard.toml"
    path.write_text(text)
    return path


def test_all_faults_come_at_once_with_file_and_key(tmp_path):
    """Five faults are five lines, each naming the file and the key."""
    path = write(tmp_path, FIVE_FAULTS)
    with pytest.raises(config.ConfigError) as raised:
        config.load(path)
    assert [fault.key for fault in raised.value.faults] == [
        "stae",
        "store.url",
        "listener[0].listen",
        "listener[0].relay_hosts[0]",
        "firewall.backend",
    ]
    assert all(str(fault).startswith(f"{path}: {fault.key}: ") for fault in raised.value.faults)
    assert len(str(raised.value).splitlines()) == 5


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("[state]\ndri = 'x'", "state.dri", "did you mean dir?"),
        ("[[listener]]\nrelay_host = []", "listener[0].relay_host", "did you mean relay_hosts?"),
        ("[log]\ncollapse = '5x'", "log.collapse", "not a length of time"),
        ("[log]\nrecords = 5", "log.records", "must be a path"),
        ("[firewall]\nports = [0]", "firewall.ports[0]", "not a port"),
        ("[firewall]\nports = 'some'", "firewall.ports", "must be a list|not one of"),
        ("[[source]]\npath = 'x'", "source[0].type", "is missing|is not one of"),
        ("listener = 1", "listener", "must be a list"),
        ("[[listener]]\nmax_message_size = true", "listener[0].max_message_size", "whole number"),
        (_two(":25", ":25"), "listener[1].listen", ":25 is taken by listener"),
        (_two("0.0.0.0:25", "192.0.2.1:25"), "listener[1].listen", r"\], 0.0.0.0:25"),
        (_two("[2001:db8::1]:25", "[::]:25"), "listener[1].listen", r"taken by listener\[0\]"),
        (_two("[::]:25", ":25"), "listener[1].listen", r"taken by listener\[0\]"),
    ],
)
def test_each_sort_of_fault(tmp_path, text, key, words):
    """Unknown keys, wrong types and contradictions name the key and say what is expected."""
    with pytest.raises(config.ConfigError, match=words) as raised:
        config.load(write(tmp_path, text))
    assert key in [fault.key for fault in raised.value.faults]


def test_listeners_that_can_be_bound_side_by_side(tmp_path):
    """Other ports, other addresses, and every address of each family: no fault."""
    pairs = (
        ("0.0.0.0:25", "0.0.0.0:587"),
        ("127.0.0.1:25", "192.0.2.1:25"),
        ("0.0.0.0:25", "[::]:25"),
    )
    for one, other in (*pairs, ("[::1]:25", "127.0.0.1:25"), ("[::]:25", "127.0.0.1:25")):
        assert len(config.load(write(tmp_path, _two(one, other))).listener) == 2


@pytest.mark.parametrize("data", [b"[", b"\xff", b"a = 1\na = 2"])
def test_not_toml(tmp_path, data):
    """A file that is no TOML is one fault, with the place where the parser knows it."""
    (tmp_path / "guard.toml").write_bytes(data)
    with pytest.raises(config.ConfigError, match="not TOML"):
        config.load(tmp_path / "guard.toml")


def test_missing_file(tmp_path):
    """A file that is named but absent is a fault, not silence."""
    with pytest.raises(config.ConfigError) as raised:
        config.load(tmp_path / "absent.toml")
    assert raised.value.faults == [
        Fault(str(tmp_path / "absent.toml"), "", "No such file or directory")
    ]


def test_paths_are_relative_to_the_file(tmp_path):
    """A relative path means the same wherever the command is typed."""
    settings = config.load(write(tmp_path, "[log]\nrecords = 'log/records.jsonl'"))
    assert settings.log.records == tmp_path / "log" / "records.jsonl"


def test_defaults_are_safe():
    """Without a file: loopback, embedded store, nothing blocked."""
    settings = config.defaults()
    assert [str(item.listen) for item in settings.listener] == ["127.0.0.1:2525"]
    assert settings.store.url is None
    assert settings.firewall.backend == "dry-run"


@pytest.mark.parametrize("key", ["dir", "socket"])
def test_a_socket_whose_path_is_too_long_is_a_fault(tmp_path, key):
    """Nobody could listen there: said by `guard check`, and not first by the start."""
    path = write(tmp_path, f'[state]\n{key} = "/{"x" * 110}"\n')
    with pytest.raises(config.ConfigError) as raised:
        config.load(path)
    assert [fault.key for fault in raised.value.faults] == ["state.socket"]
