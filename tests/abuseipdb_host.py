"""One host's reporter as tests drive it: with a clock of their own and an outbox on disk."""

from guard.events import Claim, Kind, Rejection, Window
from guard.jails.jail import Jail
from guard.lib.networks import parse_network
from guard.reporters.abuseipdb.api import Api
from guard.reporters.abuseipdb.desk import Desk
from guard.reporters.abuseipdb.fitness import Fitness
from guard.reporters.abuseipdb.intake import Intake
from guard.reporters.abuseipdb.rules import Rules
from guard.reporters.abuseipdb.sender import Sender
from guard.reporters.abuseipdb.settings import AbuseIpdbReportSettings
from guard.reporters.outbox import SCHEMA, VERSION, Outbox
from guard.stores.database import open_file
from guard.stores.quotas import open_quotas
from guard.stores.settings import StoreSettings

KEY = "c0ffee00c0ffee00c0ffee00c0ffee00"
NOON = 1_757_678_400.0  # 2025-09-12 12:00 UTC
RELAY = Jail(
    name="relay", filter="kumomta", kinds=frozenset({Kind.RELAY_DENIED}), window=Window(5, 600.0)
)
AUTH = Jail(
    name="auth",
    filter="kumomta",
    kinds=frozenset({Kind.AUTH_FAILED, Kind.AUTH_UNSUPPORTED}),
    window=Window(10, 3600.0),
)
LOG = Jail(name="sshd", filter="sshd[mode=aggressive]")
STRANGE = Jail(name="own", filter="my-own")
JAILS = (RELAY, AUTH, LOG, STRANGE)


class Clock:
    """A clock that tests turn."""

    def __init__(self, now=NOON):
        self.now = now

    def __call__(self):
        return self.now


def masked(network):
    """As the pipeline counts by default."""
    return network.supernet(32 if network.version == 4 else 64)


def claim(address, *, jail="relay", now=NOON, number=5, length=3600.0, strikes=1, reason=None):
    """A ban as a jail makes it."""
    return Claim(
        parse_network(address),
        jail if ":" in jail or jail == "manual" else f"jail:{jail}",
        reason or f"{number} rejection{'s' if number != 1 else ''} within 10m",
        now,
        None if length is None else now + length,
        strikes,
    )


class Host:
    """One host's reporter. `run` does what its threads do until nothing is to be done."""

    def __init__(
        self,
        folder,
        server,
        clock,
        *,
        store=None,
        protects=lambda network: None,
        held=lambda network, now: True,
        **more,
    ):
        key = folder.parent / "key"
        key.write_text(KEY + "\n")
        key.chmod(0o600)
        self.clock = clock
        self.settings = AbuseIpdbReportSettings(
            **{"key_file": key, "url": server.url, "after": 0.0, "timeout": 5.0, **more}
        )
        self.outbox = Outbox(open_file(folder / "outbox.db", SCHEMA, VERSION))
        self.quotas = open_quotas(StoreSettings(url=store), folder)
        self.intake = Intake(self.settings, self.outbox, JAILS, masked)
        self.sender = Sender(
            self.settings, self.outbox, Rules(self.settings, self.quotas), Api(self.settings),
            Fitness(self.outbox, protects, held), (25, 587), chance=lambda: 0.5,
        )  # fmt: skip
        self.desk = Desk(self.sender, clock)

    def hear(self, address, *kinds):
        """Refusals of `address`."""
        self.intake.heard([Rejection(self.clock(), address, kind) for kind in kinds])

    def ban(self, *claims):
        self.intake.banned(claims)

    def run(self, most=100_000):
        """Keeps and sends until the next step is not now."""
        self.intake.keep(self.clock())
        for _ in range(most):
            if (pause := self.desk.turn(self.clock())) > 0:
                return pause
        raise AssertionError("it never ends")

    def counts(self):
        return self.outbox.counts("abuseipdb")

    def close(self):
        self.outbox.close()
        self.quotas.close()
