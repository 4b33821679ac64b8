"""Listeners made from guard.toml and reloaded while clients are connected."""

import asyncio
import contextlib
import logging
import ssl
import subprocess

import pytest

from guard.assemble.listening import fit
from guard.config import load, parse
from guard.listeners import Listeners, Parts, check
from guard.mail.reports import read_report
from guard.mail.spool import FileSpool
from guard.relay.hashes import hash_password
from guard.roles import ConfigError

REFUSED = "550 5.7.1 "


class Notes(list):
    """A Sink that keeps what it is given."""

    def put(self, record):
        """Keeps `record`."""
        self.append(record)


class Client:
    """One connection, by hand, on the loop of the listeners."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, port):
        """A client that has read the banner."""
        client = cls(*await asyncio.open_connection("127.0.0.1", port))
        client.banner = await client.reply()
        return client

    async def reply(self):
        """One reply, its lines joined."""
        lines = []
        while not lines or lines[-1][3:4] == "-":
            async with asyncio.timeout(20):
                lines.append((await self.reader.readline()).decode().rstrip())
        return "\n".join(lines)

    async def say(self, line):
        """A command and its reply."""
        self.writer.write(f"{line}\r\n".encode())
        return await self.reply()

    async def to(self, recipient, sender=""):
        """The reply to RCPT in a new transaction."""
        await self.say("RSET")
        await self.say(f"MAIL FROM:<{sender}>")
        return await self.say(f"RCPT TO:<{recipient}>")

    async def close(self):
        """Hangs up."""
        self.writer.close()
        await self.writer.wait_closed()


class World:
    """guard.toml, its files, and what runs by them."""

    def __init__(self, folder):
        self.folder, self.port = folder, 0
        self.path = folder / "guard.toml"
        self.settings()
        self.domains('["first.test"]\nrelay_to = true\n')

    def settings(self, more="", before=""):
        """Writes guard.toml, in one go as a careful editor does."""
        self.write(
            "guard.toml",
            f'{before}\n[[listener]]\nlisten = "127.0.0.1:0"\nhostname = "mx.test"\n'
            f'relay_hosts = []\nlistener_domains = ["domains.toml"]\n{more}\n',
        )

    def domains(self, text):
        """Writes the domain file."""
        self.write("domains.toml", text)

    def write(self, name, text):
        """Writes a file beside guard.toml."""
        new = self.folder / f".{name}.new"
        new.write_text(text)
        new.rename(self.folder / name)

    def make(self):
        """The listeners."""
        spool = FileSpool(self.folder / "spool")
        spool.open()
        parts = Parts(spool, Notes(), "node", lambda: 1757675281.0, read_report)
        return Listeners(load(self.path), self.path, parts)

    @contextlib.asynccontextmanager
    async def running(self):
        """Runs them, with their reloader."""
        listeners = self.make()
        reloader = listeners.reloader()
        try:
            for server in listeners.servers:
                await server.start()
            self.port = listeners.servers[0].addresses[0].port
            async with asyncio.TaskGroup() as group:
                task = group.create_task(reloader.run())
                yield listeners, reloader
                task.cancel()
            for server in listeners.servers:
                await server.stop(0.0)
        finally:
            listeners.close()


@pytest.fixture
def world(tmp_path):
    """A configuration in a folder of its own."""
    return World(tmp_path)


class Log(logging.Handler):
    """The log, line by line, for whoever waits for a line."""

    def __init__(self):
        super().__init__(logging.INFO)
        self.lines = asyncio.Queue()

    def emit(self, record):
        """Hears one line."""
        self.lines.put_nowait(record.getMessage())

    async def until(self, text):
        """Waits for a line with `text` in it."""
        async with asyncio.timeout(20):
            while text not in await self.lines.get():
                pass


@pytest.fixture
def log(caplog):
    """What Guard logs."""
    handler, root = Log(), logging.getLogger("guard")
    root.addHandler(handler)
    with caplog.at_level(logging.INFO, "guard"):
        yield handler
    root.removeHandler(handler)


IN_FORCE = "the new configuration is in force"


def test_a_changed_domain_file_holds_for_open_sessions(world, log):
    """Noticed by itself; the client that was there stays connected and meets the new rules."""

    async def test():
        async with world.running():
            client = await Client.connect(world.port)
            assert await client.to("x@first.test") == "250 OK <x@first.test>"
            assert (await client.to("x@second.test")).startswith(REFUSED)
            world.domains('["second.test"]\nrelay_to = true\n')
            await log.until(IN_FORCE)
            assert await client.to("x@second.test") == "250 OK <x@second.test>"
            assert (await client.to("x@first.test")).startswith(REFUSED)
            await client.close()

    asyncio.run(test())


def test_a_broken_file_keeps_the_old_rules_and_mending_it_is_noticed(world, log):
    """With every fault in the log; the file that guard.toml names anew is watched already."""

    async def test():
        async with world.running():
            client = await Client.connect(world.port)
            world.settings('policy = "policy.py"')
            await log.until("the old one stays in force")
            assert await client.to("x@first.test") == "250 OK <x@first.test>"
            world.write("policy.py", "def get_listener_domain(*about): return None\n")
            await log.until(IN_FORCE)
            world.write("policy.py", "def get_listener_domain(domain): return None\n")
            await log.until("get_listener_domain: must be a function of (domain, listener, conn_")
            assert await client.to("x@first.test") == "250 OK <x@first.test>"
            await client.close()

    asyncio.run(test())


def test_a_signal_reloads_all_and_new_sessions_meet_new_settings(world, log):
    """Banner and limits hold for who comes next; what takes a restart is named."""

    async def test():
        async with world.running() as (_, reloader):
            old = await Client.connect(world.port)
            world.settings(
                'banner = "reloaded"\nmax_message_size = 1000\n[[listener]]\nlisten = ":1"',
                '[store]\nurl = "redis://127.0.0.1:1/0"\n',
            )
            reloader.request()
            await log.until("changes of store, listen take a restart")
            new = await Client.connect(world.port)
            assert old.banner == "220 mx.test ESMTP Guard"
            assert new.banner == "220 mx.test reloaded"
            assert "SIZE 1000" in await new.say("EHLO client.test")
            assert "SIZE 20971520" in await old.say("EHLO client.test")
            for client in (old, new):
                await client.close()

    asyncio.run(test())


def test_queues_are_told_of_their_settings(world, log):
    """Delivery takes up `[queue]` with the rest; nothing is left to a restart."""

    async def test():
        async with world.running() as (listeners, reloader):
            taken = []
            listeners.tell_queues(taken.append)
            world.settings("[queue.default]\nport = 26")
            reloader.request()
            await log.until(IN_FORCE)
            assert [queues["default"].port for queues in taken][-1] == 26
            assert not [line for line in log.lines._queue if "restart" in line]

    asyncio.run(test())


def test_all_faults_of_all_listeners_are_told_at_once(world):
    """At the start and by `guard check`, each with file and key, once."""
    world.domains('["a.test"]\nlog_fbl = true\n')
    world.settings(
        'policy = "none.py"\n[[listener]]\nlisten = "127.0.0.1:1"\n'
        'listener_domains = ["domains.toml", "none.toml"]\n'
    )
    for attempt in (world.make, lambda: check(load(world.path), world.path)):
        with pytest.raises(ConfigError) as error:
            attempt()
        assert [str(f).removeprefix(f"{world.folder}/") for f in error.value.faults] == [
            "none.py: No such file or directory",
            'domains.toml: "a.test".log_fbl: unknown option, did you mean log_arf?',
            "none.toml: No such file or directory",
        ]


def test_checking_warns_of_traps(world):
    """Each once, though two listeners share the file."""
    world.domains('["*"]\nlog_arf = true\n')
    world.settings(
        '[[listener]]\nlisten = "127.0.0.1:1"\nrelay_hosts = ["0.0.0.0/0"]\n'
        'listener_domains = ["domains.toml"]\n'
    )
    assert [(f.file.rpartition("/")[2], f.key) for f in check(load(world.path), world.path)] == [
        ("domains.toml", '"*".log_arf'),
        ("guard.toml", "listener[1].relay_hosts"),
    ]


def test_behind_a_proxy_sections_have_its_port(world):
    """No warning of a port that no listener has, where clients come through a proxy."""
    world.domains('[listener."203.0.113.1:25"."a.test"]\nrelay_to = true\n')
    (warning,) = check(load(world.path), world.path)
    assert warning.message == "can never match: no [[listener]] has port 25"
    world.settings('proxies = ["192.0.2.80", "10.0.0.0/8"]')
    assert check(load(world.path), world.path) == []


def test_proxies_that_are_everybody_are_a_trap(world):
    """Whoever may send a PROXY header may be anybody, a relay host too."""
    world.settings('proxies = ["10.0.0.0/8", "::/0"]')
    (warning,) = check(load(world.path), world.path)
    assert warning.key == "listener[0].proxies"
    assert warning.message.startswith("a relay for everybody, who may claim to come from relay_h")


def certificate(folder, name):
    """A certificate with a subject of its own, and its key, in one file."""
    path = folder / f"{name}.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    options = ["-subj", f"/CN={name}", "-keyout", path, "-out", path.with_suffix(".crt")]
    subprocess.run([*command.split(), *options], check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + path.with_suffix(".crt").read_bytes())
    path.chmod(0o600)


def test_tls_and_passwords_come_with_a_reload(world, log):
    """A session that was open is not offered what it was not; one that begins is."""
    certificate(world.folder, "mx.test")
    world.write("cred.toml", f'ann = "{hash_password("x")}"\n')
    tls = 'tls_certificate = "mx.test.pem"\ntls_private_key = "mx.test.pem"\n'

    async def test():
        async with world.running():
            old = await Client.connect(world.port)
            world.settings(tls + 'credentials = "cred.toml"')
            await log.until(IN_FORCE)
            new = await Client.connect(world.port)
            assert "STARTTLS" not in await old.say("EHLO client.test")
            assert "STARTTLS" in await new.say("EHLO client.test")
            context = ssl.create_default_context(cafile=world.folder / "mx.test.crt")
            context.check_hostname = False
            assert (await new.say("STARTTLS")).startswith("220 ")
            await new.writer.start_tls(context)
            assert "AUTH PLAIN" in await new.say("EHLO client.test")
            assert await new.say("AUTH PLAIN AGFubgB4") == "235 2.7.0 AUTH OK!"
            # Switched off again, it goes on for who has it.
            world.settings()
            await log.until(IN_FORCE)
            assert (await new.to("x@first.test")).startswith("250 ")
            for client in (old, new):
                await client.close()

    asyncio.run(test())


def test_a_certificate_of_no_use_is_a_fault(world, log):
    """Told by `guard check`; on a reload the old one stays."""
    (world.folder / "bad.pem").write_text("nothing")
    tls = 'tls_certificate = "{0}.pem"\ntls_private_key = "{0}.pem"\n'
    certificate(world.folder, "mx.test")
    world.settings(tls.format("bad"))
    with pytest.raises(ConfigError, match=r"bad\.pem"):
        check(load(world.path), world.path)

    async def test():
        world.settings(tls.format("mx.test"))
        async with world.running():
            client = await Client.connect(world.port)
            world.settings(tls.format("bad"))
            await log.until("bad.pem")
            await log.until("the old one stays in force")
            await client.close()
            client = await Client.connect(world.port)
            assert "STARTTLS" in await client.say("EHLO client.test")
            await client.close()

    asyncio.run(test())


def test_what_a_bad_certificate_held_up_is_taken_when_it_is_mended(world, log):
    """Nobody has to touch the file again that was changed in the meantime."""
    certificate(world.folder, "good")
    certificate(world.folder, "mx.test")
    world.settings('tls_certificate = "mx.test.pem"\ntls_private_key = "mx.test.pem"\n')

    async def test():
        async with world.running():
            client = await Client.connect(world.port)
            world.write("mx.test.pem", "nothing")
            await log.until("the old one stays in force")
            world.domains('["second.test"]\nrelay_to = true\n')
            await log.until("the old one stays in force")
            assert (await client.to("x@second.test")).startswith(REFUSED)
            world.write("mx.test.pem", (world.folder / "good.pem").read_text())
            await log.until(IN_FORCE)
            assert await client.to("x@second.test") == "250 OK <x@second.test>"
            await client.close()

    asyncio.run(test())


def test_users_of_a_shared_file_may_log_in_at_one_of_its_listeners(world):
    """relay_from_authz is of use if one listener asks for passwords; with none it is a trap.

    And a key that everybody may read is one too.
    """
    certificate(world.folder, "mx.test")
    world.write("cred.toml", "")
    (world.folder / "cred.toml").chmod(0o600)
    world.domains('["users.test"]\nrelay_from_authz = ["ann"]\n')
    other = '[[listener]]\nlisten = "127.0.0.1:587"\nlistener_domains = ["domains.toml"]\n'
    tls = 'tls_certificate = "mx.test.pem"\ntls_private_key = "mx.test.pem"\n'
    world.settings(other + tls)
    (warning,) = check(load(world.path), world.path)
    assert warning.key == '"users.test".relay_from_authz'
    world.settings(other + tls + 'credentials = "cred.toml"\n')
    assert check(load(world.path), world.path) == []
    (world.folder / "mx.test.pem").chmod(0o644)
    (warning,) = check(load(world.path), world.path)
    assert str(warning).endswith("mx.test.pem: everybody on this machine may read it: chmod o-r")


def test_a_hook_without_time_is_a_fault(world):
    """It would cost every client its session."""
    world.settings('policy_timeout = "0s"')
    with pytest.raises(ConfigError, match=r"listener\[0\].policy_timeout: must be more than 0s"):
        load(world.path)


def test_connections_fit_into_what_may_be_open(tmp_path):
    """Where few files may be open the limit that is met is ours: all listeners of a process
    together have room in it, and a listener with several processes has room in each.
    """

    def read(*rows):
        listeners = [{"listen": f"127.0.0.1:{port}", **row} for port, row in enumerate(rows, 1)]
        return parse({"listener": listeners}, tmp_path / "guard.toml")

    def most(settings, files):
        return [item.max_connections for item in fit(settings, files).listener]

    assert most(read({}), 1024) == [1024 - 256]
    assert most(read({"workers": 4}), 1024) == [4 * (1024 - 256)]
    assert most(read({}, {}), 1024) == [384, 384]
    assert most(read({"max_connections": 30_000}, {"max_connections": 10_000}), 1024) == [576, 192]
    # Of the first's four processes one is the second's too.
    assert most(read({"max_connections": 4000, "workers": 4}, {"max_connections": 3000}), 1256) == [
        1000,
        750,
    ]
    assert most(read({}), 300) == [150]
    assert most(read({}, {}), 3) == [1, 1]
    plenty = read({}, {"workers": 4})
    assert fit(plenty, 10**6) == plenty
