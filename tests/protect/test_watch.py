"""Protection follows the world: files, interfaces, sessions, names, senders."""

import os

from stubdns import StubDns

from guard.config import load
from guard.lib.fields import Endpoint
from guard.lib.networks import parse_address, parse_network
from guard.protect import book
from guard.protect.allow import parse_allowed
from guard.protect.dns import pointer, resolver
from guard.protect.own import Here
from guard.protect.protection import Protectors
from guard.protect.settings import ProtectSettings
from guard.protect.watch import FIRST_REFRESH, Config, Watch
from guard.roles import Unavailable

net = parse_network


class World:
    """What the machine and the DNS say."""

    def __init__(self, tmp_path):
        self.here, self.peers = Here(["185.1.0.1"]), []
        self.table, self.down, self.state = {}, False, tmp_path / "state"

    def ask(self, name, kind):
        if self.down:
            raise Unavailable("DNS is down")
        return self.table.get((name, kind), [])

    def watch(self, config=None, **settings):
        settings = ProtectSettings(**settings)
        made = Protectors.build(settings, here=lambda: self.here)
        watching = Watch(
            settings,
            made,
            self.state,
            config=config,
            ask=self.ask,
            here=lambda: self.here,
            sessions=lambda ports: [(peer, "ssh") for peer in self.peers],
        )
        return made, watching


def test_interfaces_and_sessions_are_followed(tmp_path):
    """New addresses are protected, old ones not; one that hides all changes nothing."""
    world = World(tmp_path)
    made, watching = world.watch()
    assert made.protects(net("185.1.0.1")) == "own address"
    world.here, world.peers = Here(["185.1.0.2"]), [net("185.7.7.7")]
    watching.near(0.0)
    assert made.protects(net("185.1.0.1")) is None
    assert made.protects(net("185.1.0.2")) == "own address"
    assert made.protects(net("185.7.7.7")) == "ssh"
    world.here, world.peers = Here(), []
    watching.near(1.0)
    assert made.protects(net("185.1.0.2")) == "own address"
    assert made.protects(net("185.7.7.7")) is None


def test_a_session_counts_once_it_has_lasted(tmp_path):
    """Those at the start at once, later ones after half a minute: no guesser changes anything."""
    world = World(tmp_path)
    world.peers = [net("185.7.7.7")]
    made, watching = world.watch()
    watching.near(100.0)
    assert made.protects(net("185.7.7.7")) == "ssh"
    world.peers = [net("185.7.7.7"), net("185.8.8.8")]
    before = made.version
    watching.near(105.0)
    watching.near(134.0)
    assert made.protects(net("185.8.8.8")) is None
    assert made.version == before
    watching.near(135.0)
    assert made.protects(net("185.8.8.8")) == "ssh"


def test_a_stop_ends_the_questions(tmp_path):
    """The daemon does not wait for a dead DNS when it is told to stop."""
    world = World(tmp_path)
    asked = []
    world.ask = lambda name, kind: asked.append(name) or []
    _, watching = world.watch(allow=(parse_allowed("home.example"),))
    watching.stop()
    watching.far(0.0)
    assert asked == []


def test_what_is_switched_off_is_not_looked_at(tmp_path):
    """own, ssh and senders each by its setting."""
    world = World(tmp_path)
    world.peers = [net("185.7.7.7")]
    made, watching = world.watch(own=False, ssh=False, senders=False)
    watching.near(0.0)
    watching.far(1e9)
    assert made.protects(net("185.1.0.1")) is None
    assert made.protects(net("185.7.7.7")) is None
    assert not (world.state / book.NAME).exists()


def test_files_reload_and_keep_their_last_good_state(tmp_path, caplog):
    """Edited, gone, back; a bad line is named and the others hold."""
    world, path = World(tmp_path), tmp_path / "office.txt"
    path.write_text("185.4.0.0/24\nbad/line/9\n")
    made, watching = world.watch(allow_files=(path,), allow=(parse_allowed("185.3.0.1"),))
    watching.near(0.0)
    assert made.protects(net("185.4.0.9")) == "allow 185.4.0.0/24"
    assert made.protects(net("185.3.0.1")) == "allow 185.3.0.1"
    assert "line 2" in caplog.text
    path.unlink()
    watching.near(1.0)
    watching.near(2.0)
    assert made.protects(net("185.4.0.9")) == "allow 185.4.0.0/24"
    assert caplog.text.count("still holds") == 1
    path.write_text("185.5.0.1\n")
    watching.near(3.0)
    assert made.protects(net("185.4.0.9")) is None
    assert made.protects(net("185.5.0.1")) == "allow 185.5.0.1"


def test_names_are_resolved_again_and_outlive_a_dead_server(tmp_path):
    """Over a real socket; a home that moves is followed within `resolve`."""
    world = World(tmp_path)
    zone = {("home.example", "A"): ["185.4.0.7"], ("home.example", "AAAA"): ["2a03::7"]}
    with StubDns(zone) as stub:
        world.ask = resolver([("127.0.0.1", stub.port)])
        made, watching = world.watch(allow=(parse_allowed("home.example"),), resolve=60.0)
        watching.far(0.0)
        assert made.protects(net("185.4.0.7")) == "allow home.example"
        assert made.protects(net("2a03::7")) == "allow home.example"
        zone[("home.example", "A")] = ["185.4.0.8"]
        watching.far(59.0)
        assert made.protects(net("185.4.0.8")) is None
        watching.far(60.0)
        assert made.protects(net("185.4.0.8")) == "allow home.example"
        assert made.protects(net("185.4.0.7")) is None
        zone[("home.example", "A")] = None
        watching.far(120.0)
        assert made.protects(net("185.4.0.8")) == "allow home.example"
        zone.clear()
        watching.far(180.0)
        assert made.protects(net("185.4.0.8")) is None


def test_a_name_in_a_file_is_resolved_and_forgotten_with_it(tmp_path):
    """Files hold every form that the setting does."""
    world, path = World(tmp_path), tmp_path / "office.txt"
    world.table = {("home.example", "A"): ["185.4.0.7"]}
    path.write_text("home.example\n")
    made, watching = world.watch(allow_files=(path,), resolve=60.0)
    watching.near(0.0)
    watching.far(0.0)
    assert made.protects(net("185.4.0.7")) == "allow home.example"
    path.write_text("")
    os.utime(path, ns=(1, 1))
    watching.near(61.0)
    watching.far(61.0)
    assert made.protects(net("185.4.0.7")) is None


def test_reverse_suffixes_protect_whom_they_confirm(tmp_path):
    """Only addresses that were heard of are asked for, and only where a suffix is allowed."""
    world = World(tmp_path)
    address = parse_address("185.4.0.7")
    world.table = {
        (pointer(address), "PTR"): ["mx.example.com."],
        ("mx.example.com", "A"): ["185.4.0.7"],
    }
    made, watching = world.watch(allow=(parse_allowed(".example.com"),))
    watching.far(0.0)
    assert made.protects(address) is None
    watching.noticed(address)
    watching.far(1.0)
    assert made.protects(address) == "allow mx.example.com"
    other, unwatched = world.watch()
    unwatched.noticed(address)
    unwatched.far(0.0)
    assert other.protects(address) is None


def test_reverse_names_outlive_a_restart_without_a_dns(tmp_path):
    """Whom a list has blocked by then is never heard of again: he must be known at once."""
    world = World(tmp_path)
    address = parse_address("185.4.0.7")
    world.table = {
        (pointer(address), "PTR"): ["mx.example.com."],
        ("mx.example.com", "A"): ["185.4.0.7"],
    }
    allow = (parse_allowed(".example.com"),)
    _, watching = world.watch(allow=allow)
    watching.noticed(address)
    watching.far(0.0)
    world.down = True
    again, rerun = world.watch(allow=allow)
    rerun.near(10.0)
    assert again.protects(address) == "allow mx.example.com"
    rerun.far(10.0)
    assert again.protects(address) == "allow mx.example.com"
    other, elsewhere = world.watch(allow=(parse_allowed(".example.org"),))
    elsewhere.near(10.0)
    assert other.protects(address) is None
    world.down = False
    world.table.clear()
    last, gone = world.watch(allow=allow)
    gone.near(20.0)
    gone.far(20.0)
    assert last.protects(address) is None


def test_a_process_without_dns_follows_what_another_finds(tmp_path):
    """Names and reverse names come from the files of the one that asks; it asks nothing itself."""
    world = World(tmp_path)
    address = parse_address("185.4.0.7")
    allow = (parse_allowed("home.example"), parse_allowed(".example.com"))
    _, asking = world.watch(allow=allow)
    made, following = world.watch(allow=allow)
    following.near(0.0)
    following.follow(0.0)
    assert made.protects(address) is None
    world.table = {
        ("home.example", "A"): ["185.4.0.8"],
        (pointer(address), "PTR"): ["mx.example.com."],
        ("mx.example.com", "A"): ["185.4.0.7"],
    }
    asking.noticed(address)
    asking.far(1.0)
    world.down = True
    following.follow(2.0)
    assert made.protects(address) == "allow mx.example.com"
    assert made.protects(net("185.4.0.8")) == "allow home.example"
    (world.state / "names.json").unlink()
    (world.state / "reverse.json").unlink()
    following.follow(3.0)
    assert made.protects(address) is None
    assert made.protects(net("185.4.0.8")) is None


def test_configured_name_servers_are_protected(tmp_path):
    """Beside those of resolv.conf; a machine that hides all loses none that were there."""
    world = World(tmp_path)
    servers = (Endpoint("185.4.0.53", 53),)
    made, watching = world.watch(name_servers=servers)
    assert made.protects(net("185.4.0.53")) == "name server"
    watching.near(0.0)
    assert made.protects(net("185.4.0.0/24")) == "name server"


def test_senders_are_refreshed_on_time_and_kept(tmp_path, caplog):
    """Not at once after the start, then once a period, also over a restart."""
    world = World(tmp_path)
    world.table = {("_spf.google.com", "TXT"): ["v=spf1 ip4:185.9.0.0/24 -all"]}
    made, watching = world.watch(refresh=86400.0)
    watching.far(0.0)
    watching.far(FIRST_REFRESH - 1)
    assert made.protects(net("185.9.0.1")) is None
    watching.far(FIRST_REFRESH)
    assert made.protects(net("185.9.0.1")) == "mail sender gmail"
    assert made.protects(net("209.85.160.71")) == "mail sender gmail"
    assert "sender apple" in caplog.text
    world.table = {("_spf.google.com", "TXT"): ["v=spf1 ip4:185.8.0.0/24 -all"]}
    again, rerun = world.watch(refresh=86400.0)
    rerun.near(FIRST_REFRESH + 10)
    assert again.protects(net("185.9.0.1")) == "mail sender gmail"
    rerun.far(FIRST_REFRESH + 10)
    rerun.far(2 * FIRST_REFRESH + 10)
    assert again.protects(net("185.8.0.1")) is None
    rerun.far(FIRST_REFRESH + 86400)
    assert again.protects(net("185.8.0.1")) == "mail sender gmail"
    watching.near(FIRST_REFRESH + 86401)
    assert made.protects(net("185.8.0.1")) == "mail sender gmail"


def test_a_state_directory_that_cannot_be_written_costs_only_the_memory(tmp_path, caplog):
    """The refresh holds for this process, and the log says so."""
    world = World(tmp_path)
    world.state = tmp_path / "file"
    world.state.write_text("")
    world.table = {("_spf.google.com", "TXT"): ["v=spf1 ip4:185.9.0.0/24 -all"]}
    made, watching = world.watch()
    watching.refresh(0.0)
    assert made.protects(net("185.9.0.1")) == "mail sender gmail"
    assert "cannot keep" in caplog.text


def test_names_outlive_a_restart_without_a_dns(tmp_path, caplog):
    """Their last addresses hold from the first moment; names that are gone are forgotten."""
    world = World(tmp_path)
    world.table = {("home.example", "A"): ["185.4.0.7"], ("b.example", "A"): ["185.4.0.8"]}
    path = tmp_path / "allow.txt"
    path.write_text("b.example\n")
    allow = (parse_allowed("home.example"),)
    _, watching = world.watch(allow=allow, allow_files=(path,))
    watching.near(0.0)
    watching.far(0.0)
    world.down = True
    again, rerun = world.watch(allow=allow, allow_files=(path,))
    assert again.protects(net("185.4.0.7")) == "allow home.example"
    rerun.near(10.0)
    rerun.far(10.0)
    assert again.protects(net("185.4.0.7")) == "allow home.example"
    assert again.protects(net("185.4.0.8")) == "allow b.example"
    stranger, _ = world.watch()
    assert stranger.protects(net("185.4.0.7")) is None
    (world.state / "names.json").write_text("{")
    spoilt, _ = world.watch(allow=allow)
    assert spoilt.protects(net("185.4.0.7")) is None
    assert "passed over" in caplog.text


def test_a_changed_configuration_is_taken_up_and_a_faulty_one_is_not(tmp_path, caplog):
    """allow, reserved, senders, own and relay hosts, by guard.toml alone; faults change nothing."""
    path, told = tmp_path / "guard.toml", []
    path.write_text("[protect]\n")

    def read():
        settings = load(path)
        hosts = [host for listener in settings.listener for host in listener.relay_hosts]
        return settings.protect, hosts

    world = World(tmp_path)
    made, watching = world.watch(config=Config(path, read, told.append))
    watching.near(0.0)
    assert made.protects(net("10.0.0.1")) == "private (RFC 1918)"
    path.write_text(
        '[protect]\nallow = ["185.4.0.0/24", "home.example"]\nreserved = false\nsenders = false\n'
        'own = false\n[[listener]]\nrelay_hosts = ["185.6.0.0/16"]\n'
    )
    world.table = {("home.example", "A"): ["185.5.0.7"]}
    watching.near(5.0)
    watching.far(5.0)
    assert made.protects(net("185.4.0.9")) == "allow 185.4.0.0/24"
    assert made.protects(net("185.5.0.7")) == "allow home.example"
    assert made.protects(net("185.6.0.9")) == "relay_hosts 185.6.0.0/16"
    assert made.protects(net("10.0.0.1")) is None
    assert made.protects(net("209.85.160.71")) is None
    assert made.protects(net("185.1.0.1")) is None
    assert [settings.reserved for settings in told] == [False]
    path.write_text('[protect]\nallow = ["185.4.0.0/33"]\n')
    watching.near(10.0)
    assert made.protects(net("185.4.0.9")) == "allow 185.4.0.0/24"
    assert "keeps its settings" in caplog.text
    path.write_text("[protect]\n")
    watching.near(15.0)
    assert made.protects(net("185.4.0.9")) is None
    assert made.protects(net("209.85.160.71")) == "mail sender gmail"
    assert made.protects(net("185.1.0.1")) == "own address"
    watching.near(20.0)
    assert len(told) == 2
