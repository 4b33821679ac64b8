"""filter.d/guard.conf in the real fail2ban, on lines that Guard's own event log wrote."""

import os
import random

import pytest
from hostile import FORGED, records, text
from kumomta_filter import MODES, found, kinds

from guard.events import Claim, Kind, Rejection
from guard.lib.networks import parse_network
from guard.reporters.eventlog import ban_line, rejection_line, unban_line

pytestmark = pytest.mark.fail2ban
COUNT = int(os.environ.get("GUARD_SOAK", "4000"))
WHEN = 1757675281.0


def written(line: bytes) -> str:
    """A line as fail2ban gets it."""
    return line.decode("ascii").rstrip("\n")


@pytest.mark.parametrize("mode", MODES)
def test_a_mode_finds_the_kinds_of_the_same_mode_of_kumomta(mode):
    """Every kind there is; a ban and its end are no refusals, and "normal" is bans."""
    network = parse_network("192.0.2.1")
    lines = [written(rejection_line(Rejection(WHEN, "192.0.2.1", kind))) for kind in Kind]
    lines.append(written(ban_line(Claim(network, "manual", "x", WHEN, None))))
    lines.append(written(unban_line(network, WHEN)))
    wanted = set() if mode == "normal" else kinds(mode)
    expected = [kind in wanted for kind in Kind] + [mode == "normal", False]
    assert [bool(line) for line in found(mode, lines, "guard")] == expected


def events(seed: int) -> list[tuple[str, str | None]]:
    """Lines with whatever may come into them, and whom a filter for bans finds in each."""
    dice, made = random.Random(seed), []
    for strange, _ in records(COUNT // 4, seed):
        number = dice.randrange(1, 255)
        network = parse_network(
            dice.choice((f"192.0.2.{number}", f"2001:db8::{number:x}", f"2001:db8:{number:x}::/64",
                         f"10.{number}.0.0/16"))
        )  # fmt: skip
        claim = Claim(network, f"jail:{text(dice)}", text(dice), WHEN, None)
        ban = written(ban_line(claim))
        made += [
            (ban, str(network)),
            (ban[: dice.randrange(40)], None),
            (written(unban_line(network, WHEN)), None),
            (strange, None),
        ]
    return made


def test_a_ban_is_found_with_its_own_address_and_nothing_else_is():
    """Whatever its reason says, however the line before was cut, and in a record's place."""
    made = events(20250912)
    assert sum(FORGED in line for line, _ in made) > COUNT // 8
    for (line, network), matches in zip(
        made, found("ban", [line for line, _ in made], "guard"), strict=True
    ):
        assert matches == ([(network, WHEN)] if network else []), line
