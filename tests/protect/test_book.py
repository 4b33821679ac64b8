"""What senders' records said is kept, bounded, and never less than what was shipped."""

import pytest

from guard.lib.networks import parse_network
from guard.lib.prefixes import Prefixes
from guard.protect.book import Learnt, entries, load, refresh, save
from guard.protect.senders import Sender
from guard.roles import Unavailable

net = parse_network
BOGONS = Prefixes([net("10.0.0.0/8")])
SENDERS = [
    Sender("good", ("a.example", "b.example"), (net("185.1.0.0/16"),)),
    Sender("hijacked", ("h.example",), (net("185.2.0.0/16"),)),
    Sender("dark", ("dark.example",), ()),
    Sender("silent", (), (net("185.3.0.0/16"),)),
]
TABLE = {
    "a.example": "v=spf1 ip4:185.10.0.0/25 -all",
    "b.example": "v=spf1 ip4:185.10.0.128/25 -all",
    "h.example": "v=spf1 ip4:185.0.0.0/8 -all",
}


def ask(name, kind):
    if name == "dark.example":
        raise Unavailable("DNS is down")
    return [TABLE[name]] if name in TABLE else []


def test_a_refresh_takes_what_is_bounded_and_keeps_the_rest():
    """All domains of a sender together; a failure leaves the last good list and says why."""
    old = {
        "hijacked": Learnt(5.0, (net("185.20.0.0/24"),)),
        "dark": Learnt(6.0, (net("185.21.0.1"),)),
    }
    book = refresh(SENDERS, old, ask, BOGONS, 100.0)
    assert book["good"] == Learnt(100.0, (net("185.10.0.0/24"),))
    assert book["hijacked"] == Learnt(5.0, (net("185.20.0.0/24"),), "185.0.0.0/8 is wider than /16")
    assert book["dark"] == Learnt(6.0, (net("185.21.0.1"),), "DNS is down")
    assert "silent" not in book
    assert (net("185.10.0.0/24"), "mail sender good") in entries(book)
    assert entries(book, ["good", "hijacked"]) == [(net("185.21.0.1"), "mail sender dark")]


def test_a_dead_dns_is_not_waited_for_by_every_sender():
    """After three in a row nobody else is asked for; one answer starts the count anew."""
    asked = []

    def dead(name, kind):
        asked.append(name)
        raise Unavailable("no answer")

    many = [Sender(f"s{i}", (f"s{i}.example",), ()) for i in range(20)]
    book = refresh(many, {}, dead, BOGONS, 1.0)
    assert len(asked) == 3
    assert book["s19"].fault.startswith("not asked for")


def test_the_book_outlives_the_process(tmp_path):
    """Written by rename, read back equal; no book is an empty one."""
    path = tmp_path / "state" / "senders.json"
    assert load(path) == {}
    book = {"good": Learnt(1.5, (net("185.10.0.0/24"), net("2a03::/64")), "x")}
    save(path, book)
    assert load(path) == book
    assert [p.name for p in path.parent.iterdir()] == ["senders.json"]


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"a": 1}', '{"a": {"time": 1, "networks": ["x"]}}', "\xff"]
)
def test_a_spoilt_book_is_passed_over(tmp_path, caplog, text):
    """Noted in the log; the shipped ranges protect all the same."""
    path = tmp_path / "senders.json"
    path.write_bytes(text.encode("latin-1"))
    assert load(path) == {}
    assert "passed over" in caplog.text
