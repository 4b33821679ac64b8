"""The JSON of a webhook."""

import json

from notices import HOSTILE, NOW, ban, digest, occasion

from guard.reporters.notify.plain import body
from guard.reporters.notify.values import Notice


def told(what, **values):
    """The body, read."""
    return json.loads(body(occasion(what, **values)))


def test_a_ban():
    """Every member that the documentation names, and no more."""
    found = told(ban("2001:db8::/64"))
    assert found.pop("title") == "Banned 2001:db8::/64 for 1h on mx1"
    assert "Reason: 5 rejections within 10m" in found.pop("text").splitlines()
    assert found == {
        "version": 1,
        "id": "0" * 32,
        "event": "ban",
        "time": int(NOW),
        "host": "mx1",
        "address": "2001:db8::",
        "network": "2001:db8::/64",
        "source": "jail:kumomta-relay",
        "reason": "5 rejections within 10m",
        "since": int(NOW),
        "until": int(NOW) + 3600,
        "strikes": 2,
    }


def test_an_unban_and_a_ban_for_ever():
    """`lifted` is an un-ban's; for ever is null."""
    found = told(ban(event="unban", lifted=True, until=None), host="")
    assert (found["event"], found["lifted"], found["until"]) == ("unban", True, None)
    assert "host" not in found


def test_a_test_says_nothing_of_anybody():
    """No address is made up that a program might act on."""
    found = told(Notice(event="test", time=NOW))
    assert found["event"] == "test"
    assert not {"network", "address", "source"} & found.keys()


def test_a_digest():
    """Counts by name, the worst networks as rows."""
    found = told(digest())
    assert (found["event"], found["bans"], found["unbans"]) == ("digest", 1234, 1)
    assert found["sources"] == {"jail:kumomta-relay": 1200, "manual": 34}
    assert found["kinds"] == {"relay_denied": 99999}
    assert found["top"][0] == {"network": "91.92.251.215", "bans": 3, "strikes": 7}
    assert found["feeds"] == [{"name": "spamhaus-drop", "came": 12, "went": 3}]
    assert (found["since"], found["time"]) == (int(NOW) - 3600, int(NOW))


def test_hostile_text_is_one_line_of_ascii():
    """Nothing breaks the line or the string; what cannot be seen is escaped once more."""
    raw = body(occasion(ban(reason=HOSTILE, source=HOSTILE)))
    assert raw.isascii()
    assert b"\n" not in raw
    assert "\u202e" not in json.loads(raw)["reason"]
