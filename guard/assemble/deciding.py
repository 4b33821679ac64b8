"""What decides: protection, jails, feeds, and the pipeline over a store.

For the daemon, and for a command that works on the store when no daemon runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path

from guard.assemble.enriching import vetoes
from guard.chronicle import Chronicle
from guard.config import DEFAULT_PATH, Settings, load
from guard.feeds.copies import Copies, FolderCopies, RedisCopies
from guard.feeds.recipe import Recipe
from guard.feeds.sync import Feeds
from guard.jails.crowd import Crowd
from guard.jails.files import load_jails
from guard.jails.jail import Jail
from guard.lib import clock
from guard.lib.faults import Fault
from guard.lib.networks import Network
from guard.lib.redis_url import connect
from guard.lists import Lists
from guard.operations import Operations
from guard.pipeline import Pipeline
from guard.protect import own
from guard.protect.hand import Hand
from guard.protect.pause import Pause
from guard.protect.protection import Protectors
from guard.protect.restraint import Restraint
from guard.protect.settings import ProtectSettings
from guard.protect.watch import Config, Watch
from guard.roles import ConfigError, Permits, Refused, Suspects
from guard.stores.open import Store, open_store
from guard.stores.permits import FilePermits, RedisPermits


def protection(settings: Settings) -> Protectors:
    """Whom nothing may block, as far as settings and this machine tell."""
    return Protectors.build(settings.protect, relay_hosts(settings))


def protect_config(
    path: Path | None, changed: Callable[[ProtectSettings], object] = lambda settings: None
) -> Config:
    """Where `[protect]` is read anew when guard.toml changes; `changed` is told of it."""

    def read() -> tuple[ProtectSettings, list[Network]]:
        settings = load(path)
        return settings.protect, relay_hosts(settings)

    return Config(path or DEFAULT_PATH, read, changed)


def relay_hosts(settings: Settings) -> list[Network]:
    return list(chain.from_iterable(item.relay_hosts for item in settings.listener))


def jails(settings: Settings) -> list[Jail]:
    """The jails that run. Raises ConfigError with all faults."""
    return load_jails(settings.jails.path, settings.jails.filters)


def pipeline(
    settings: Settings,
    store: Store,
    protectors: Protectors,
    noticed: Callable[[Network], None] = lambda address: None,
    heeds: Callable[[], bool] = lambda: False,
    feeds: Lists | None = None,
    suspects: Sequence[Suspects] = (),
) -> Pipeline:
    """Rejections to claims; `noticed` is told of addresses while `heeds` says so."""
    running = jails(settings)
    commands = {jail.name: jail.ignorecommand for jail in running if jail.ignorecommand}
    restraint = Restraint(
        settings.protect,
        store.standing,
        store.counters,
        commands,
        noticed=noticed,
        heeds=heeds,
        here=own.read,
    )
    return Pipeline(
        running,
        store.counters,
        store.ledger,
        protectors,
        settings=settings.jails,
        restraint=restraint,
        crowd=Crowd(settings.jails.crowd, store.crowds, store.ledger, protectors),
        suspects=[*([feeds.suspects] if feeds and feeds.suspects else []), *suspects],
    )


@contextmanager
def operations(settings: Settings) -> Iterator[Operations]:
    """The ledger by hand, without a daemon."""
    protectors = protection(settings)
    Watch(settings.protect, protectors, settings.state.dir).near(clock.now())
    vetoes(settings, protectors)
    store = open_store(settings.store, settings.state.dir)
    try:
        made = pipeline(settings, store, protectors)
        chronicle = Chronicle(store.ledger, ())
        switch = Pause(protectors, settings.state.dir)
        with ExitStack() as stack:
            hand = allowed(settings, protectors, stack)
            yield Operations(
                made, store.counters, store.ledger, protectors, chronicle, switch, hand
            )
    finally:
        store.close()


def allowed(settings: Settings, protectors: Protectors, stack: ExitStack) -> Hand:
    """The allow list by hand, taken up."""
    permits: Permits = FilePermits(settings.state.dir)
    if (url := settings.store.redis) is not None:
        client = connect(url)
        stack.callback(client.close)
        permits = RedisPermits(client, str(url), FilePermits(settings.state.dir))
    hand = Hand(permits, protectors)
    hand.refresh(clock.now())
    return hand


def recipes(settings: Settings) -> list[Recipe]:
    """The feeds that are followed. Raises ConfigError with all faults."""
    found, faults = [], []
    for index, item in enumerate(settings.feed):
        try:
            found.append(item.recipe())
        except Refused as error:
            faults.append(Fault(str(DEFAULT_PATH), f"feed[{index}]", str(error)))
    if faults:
        raise ConfigError(faults)
    return found


def lists(settings: Settings, store: Store, protectors: Protectors, stack: ExitStack) -> Lists:
    """The feeds; hosts that share a store share copies and turns too."""
    copies: Copies = FolderCopies(settings.state.dir / "feeds")
    if (url := settings.store.redis) is not None:
        client = connect(url)
        stack.callback(client.close)
        copies = RedisCopies(client, str(url))
    return Lists(Feeds(recipes(settings), copies, protectors), store.ledger)


@contextmanager
def lists_by_hand(settings: Settings) -> Iterator[Lists]:
    """The feeds, for a command when no daemon runs."""
    protectors = protection(settings)
    Watch(settings.protect, protectors, settings.state.dir).near(clock.now())
    with ExitStack() as stack:
        store = open_store(settings.store, settings.state.dir)
        stack.callback(store.close)
        yield lists(settings, store, protectors, stack)
