"""What a service said is remembered within bounds, and over a restart."""

from guard.enrichment.memory import Held, Memory
from guard.events import Opinion
from guard.lib.networks import parse_network

NOW = 1_757_678_400.0
A, B, C = (parse_network(f"192.0.2.{n}") for n in (1, 2, 3))
KNOWN = Opinion("x", 87, "reported", veto=True, facts={"ISP": "Example"})


def memory(path=None, most=10):
    return Memory(path, most, 100.0, 10.0)


def test_an_answer_holds_for_its_time():
    """One that says nothing holds for another; a clock that went back finds nothing."""
    made = memory()
    made.put(A, Held(NOW, KNOWN))
    made.put(B, Held(NOW, None))
    assert made.find(A, NOW + 99.9) == Held(NOW, KNOWN)
    assert made.find(B, NOW + 9.9) == Held(NOW, None)
    assert [made.find(A, NOW + 100), made.find(B, NOW + 10), made.find(C, NOW)] == [None] * 3
    assert made.find(A, NOW - 1) is None


def test_the_oldest_answer_makes_room():
    """An answer that came again is a new one."""
    made = memory(most=2)
    for network in (A, B, A):
        assert made.put(network, Held(NOW, None)) == []
    assert made.put(C, Held(NOW, None)) == [B]
    assert len(made) == 2


def test_a_restart_keeps_what_is_not_too_old(tmp_path):
    """Score, veto and facts; what is old by then is gone."""
    made = memory(tmp_path / "check" / "x.json")
    made.put(A, Held(NOW, KNOWN))
    made.put(B, Held(NOW, None))
    made.save()
    again = memory(tmp_path / "check" / "x.json")
    again.load(NOW + 50)
    assert again.items() == [(A, Held(NOW, KNOWN))]
    small = memory(tmp_path / "check" / "x.json", most=1)
    small.load(NOW)
    assert small.items() == [(B, Held(NOW, None))]


def test_a_file_is_written_only_for_something_new(tmp_path):
    """Nothing was said: nothing is written."""
    path = tmp_path / "x.json"
    made = memory(path)
    made.save()
    assert not path.exists()
    made.put(A, Held(NOW, None))
    made.save()
    path.unlink()
    made.save()
    assert not path.exists()


def test_a_spoilt_file_and_a_full_disk_cost_only_the_memory(tmp_path, caplog):
    """Both are a line in the log."""
    path = tmp_path / "x.json"
    for text in ("{", "[[1]]", '[["nobody", 1.0, null]]', "[" * 10_000):
        path.write_text(text)
        made = memory(path)
        made.load(NOW)
        assert made.items() == []
    made = memory(tmp_path / "x.json" / "y.json")
    made.put(A, Held(NOW, None))
    made.save()
    assert caplog.text.count("is passed over") == 4
    assert "cannot keep" in caplog.text
