"""What addresses did is remembered, within bounds."""

from abuseipdb_host import masked

from guard.events import Acceptance, Kind, Rejection
from guard.lib.networks import parse_network
from guard.reporters.abuseipdb.seen import IDLE, Seen

A, B = "185.4.0.7", "2a03:1:2:3::9"


def test_kinds_are_counted_by_network():
    """With the address that was last; text logs have no kinds; acceptances are nothing."""
    seen = Seen(masked)
    seen.heard(
        [
            Rejection(1.0, A, Kind.RELAY_DENIED, 3),
            Rejection(2.0, A, Kind.AUTH_FAILED),
            Rejection(3.0, A, None, filter="exim"),
            Rejection(1.0, "2a03:1:2:3::8", Kind.NON_SMTP),
            Rejection(2.0, B, Kind.NON_SMTP),
            Rejection(2.0, "nonsense:", Kind.NON_SMTP),
            Acceptance(3.0, "185.4.0.8", "mail"),
        ]
    )
    assert seen.deeds(parse_network(A)) == ({"relay_denied": 3, "auth_failed": 1}, A)
    assert seen.deeds(parse_network("2a03:1:2:3::/64")) == ({"non_smtp": 2}, B)
    assert len(seen) == 2
    seen.forget(parse_network(A))
    assert seen.deeds(parse_network(A)) is None


def test_a_day_of_silence_begins_anew():
    """Deeds of long ago are not told with a ban of today."""
    seen = Seen(masked)
    seen.heard([Rejection(0.0, A, Kind.NON_SMTP), Rejection(IDLE + 1, A, Kind.RELAY_DENIED)])
    assert seen.deeds(parse_network(A)) == ({"relay_denied": 1}, A)


def test_memory_is_bounded():
    """The oldest go first."""
    seen = Seen(masked, most=100)
    seen.heard(
        [Rejection(float(n), f"185.4.{n >> 8}.{n & 255}", Kind.SCANNER) for n in range(1000)]
    )
    assert len(seen) <= 100
    assert seen.deeds(parse_network("185.4.3.231")) is not None


def test_a_wider_width_is_obeyed():
    """When IPv4 is counted by /24."""
    seen = Seen(lambda network: network.supernet(24))
    seen.heard([Rejection(1.0, A, Kind.SCANNER)])
    assert seen.deeds(parse_network("185.4.0.0/24")) == ({"scanner": 1}, A)
