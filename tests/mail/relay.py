"""`guard up` as a relay between two Postfixes, for tests and for the soak."""

from pathlib import Path

from postfix import EAGER, Postfix, free_port
from service import Service

CONFIG = """
[state]
dir = "state"
[log]
records = "records.jsonl"
[[listener]]
listen = "127.0.0.1:{port}"
hostname = "guard.test"
relay_hosts = ["127.0.0.1"]
[delivery]
hostname = "guard.test"
nameservers = ["127.0.0.1"]
[queue.default]
routing_domain = "[127.0.0.1]:{hop}"
prohibited_hosts = []
retry_interval = "{retry}"
max_retry_interval = "{longest}"
"""


class Relay(Service):
    """`guard up`, whose every message goes to the port `hop`."""

    def __init__(self, folder: Path, hop: int, *, retry: str = "500ms", more: str = "") -> None:
        """`more` are further lines of `[queue.default]`."""
        self.port = free_port()
        config = folder / "guard.toml"
        longest = "2s" if retry.endswith("ms") else retry
        text = CONFIG.format(port=self.port, hop=hop, retry=retry, longest=longest)
        config.write_text(text + more)
        super().__init__("up", config)
        self.spool = folder / "state" / "spool"
        self.records = folder / "records.jsonl"

    def queued(self) -> int:
        """How many messages wait here."""
        new = self.spool / "new"
        return len(list(new.iterdir())) if new.exists() else 0


def client_of(relay: Relay, **settings: str) -> Postfix:
    """A Postfix that hands everything to `relay`."""
    return Postfix(relayhost=f"[127.0.0.1]:{relay.port}", **EAGER, **settings)
