"""The tarpit of a running `guard up`: strangers wait, an address in good standing does not."""

import time

from netns import eventually
from service import Service, dialogue
from support import free_port

from guard.events import Good
from guard.lib.networks import parse_address
from guard.stores.open import open_store
from guard.stores.settings import StoreSettings

CONFIG = """
[state]
dir = "state"
[firewall]
backend = "dry-run"
[jails]
path = []
[delivery]
enabled = false
[[listener]]
listen = "127.0.0.1:{port}"
hostname = "mx.example.com"
relay_hosts = []
tarpit = "1s"
[protect]
reserved = false
own = false
"""


def took(port, source):
    """How long an error took to be answered."""
    began = time.monotonic()
    assert dialogue(("127.0.0.1", port), "bogus", source=source)[-1].startswith("502 ")
    return time.monotonic() - began


def test_good_standing_is_not_held(tmp_path):
    """What the store knows from before decides, as soon as it has been asked."""
    port, path = free_port(), tmp_path / "guard.toml"
    path.write_text(CONFIG.format(port=port))
    store = open_store(StoreSettings(), tmp_path / "state")
    store.standing.note([Good(parse_address("127.0.0.77"), time.time(), "mail")])
    store.close()
    service = Service("up", path)
    service.start()
    try:
        assert eventually(lambda: took(port, "127.0.0.66") > 0.9), "the tarpit holds nobody"
        for _ in range(3):
            assert took(port, "127.0.0.77") < 0.9
            time.sleep(0.7)
        assert took(port, "127.0.0.66") > 0.9
    finally:
        assert service.stop() == 0
    assert "Traceback" not in service.said()
