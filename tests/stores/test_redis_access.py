"""TLS, certificates and passwords before a real Redis: who gets in, and what is said to who not."""

import asyncio
import contextlib
import dataclasses
import re
import shutil
import socket
import subprocess
import time
import tomllib

import pytest
import redis
from redis_servers import answers, until
from support import PROJECT, free_port, need, valkey

from guard import config
from guard.cli.main import run
from guard.events import Claim, Offence, Window
from guard.lib.networks import Network, parse_network
from guard.lib.redis_url import Access, RedisUrl
from guard.roles import ConfigError, Forbidden, GuardError, Unavailable
from guard.sources.stream import RedisStream
from guard.stores.check import check_store
from guard.stores.redis_store import RedisStore
from guard.stores.redis_waker import RedisWaker
from guard.stores.settings import StoreSettings
from guard.stores.shelter import ShelteredStore

pytestmark = pytest.mark.redis
NOW = 1_757_675_281.5
ADDRESS = parse_network("192.0.2.1")
WORD = "a-word-of-the-fleet"
KEY = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"


def openssl(folder, *words):
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def papers(tmp_path_factory):
    """Two CAs; certificates of the first for a server called localhost and for us."""
    need(bool(shutil.which("openssl")), "openssl")
    folder = tmp_path_factory.mktemp("papers")
    for name in ("ca", "other"):
        files = ("-keyout", f"{name}.key", "-out", f"{name}.pem")
        openssl(folder, "req", "-x509", *KEY.split(), *files, "-subj", f"/CN={name}")
    for ca, name, more in (
        ("ca", "server", ""),
        ("ca", "node", ",IP:127.0.0.1"),
        ("ca", "client", ""),
        ("other", "stranger", ""),
    ):
        files = ("-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}")
        names = ("-addext", f"subjectAltName=DNS:localhost{more}")
        signed = ("-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", *names)
        openssl(folder, "req", "-x509", *KEY.split(), *files, *signed)
    (folder / "word").write_text(f"{WORD}\n")
    (folder / "word").chmod(0o600)
    (folder / "wrong").write_text("not-that-word\n")
    (folder / "empty").touch()
    return folder


def acl() -> str:
    """The line for a user of Guard's own that docs/redis.md shows."""
    (line,) = re.findall(
        r"^ *(user guard on .*)$", (PROJECT / "docs/redis.md").read_text(), re.MULTILINE
    )
    return line.replace("PASSWORD", WORD)


class Server:
    """A redis-server with TLS, which asks for a certificate and a password."""

    def __init__(self, folder, papers, *more):
        self.port, self.plain = free_port(), free_port()
        config = folder / "redis.conf"
        lines = [
            f'dir "{folder}"', "bind 127.0.0.1", f"port {self.plain}", 'save ""',
            f"tls-port {self.port}", f"tls-cert-file {papers}/server.pem",
            f"tls-key-file {papers}/server.key", f"tls-ca-cert-file {papers}/ca.pem",
            "user default on nopass ~* &* +@all", acl(), *more,
        ]  # fmt: skip
        config.write_text("".join(f"{line}\n" for line in lines))
        self.process = subprocess.Popen(["redis-server", str(config)], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.plain)):
                break
            time.sleep(0.02)
        self.admin = redis.Redis(port=self.plain)

    def close(self):
        self.admin.close()
        self.process.kill()
        self.process.wait()


@pytest.fixture
def server(tmp_path, papers):
    made = Server(tmp_path, papers)
    yield made
    made.close()


def settings(papers, port, **given):
    """What lets us in, but for what is given."""
    right = {
        "url": f"rediss://guard@localhost:{port}/0",
        "password_file": papers / "word",
        "tls_ca": papers / "ca.pem",
        "tls_certificate": papers / "client.pem",
        "tls_private_key": papers / "client.key",
    }
    return StoreSettings(**{**right, **given})


def test_all_parts_get_in(server, papers):
    """Store, waker and stream, as a user who may do no more than Guard's own documents say."""
    url = settings(papers, server.port).redis
    store, waker = ShelteredStore(url), RedisWaker(url)
    assert waker.wait(1)
    offences = [Offence("relay", ADDRESS, NOW + at) for at in range(3)]
    assert len(store.counters.count(offences, {"relay": Window(3, 600.0)})) == 1
    claim = Claim(ADDRESS, "jail:relay", "x", NOW, NOW + 600)
    assert store.ledger.claim([claim], NOW)[0].strikes == 1
    assert waker.wait(1)
    assert store.crowds.join(parse_network("192.0.2.0/24"), ADDRESS, NOW, 60.0) == 1
    assert store.standing.known([ADDRESS]) == [None]
    store.ledger.replace("feed:x", [claim], NOW)
    assert len(store.ledger.withdraw(None, None, NOW)) == 2
    store.counters.forget(ADDRESS)
    assert store.said() == "answers"
    waker.close()
    store.close()

    async def hear():
        async with contextlib.aclosing(RedisStream(url).batches()) as batches, asyncio.timeout(20):
            async for batch in batches:
                return [event.address for event in batch]
        return []

    line = '{"type":"Rejection","timestamp":1757675281,"peer_address":{"addr":"192.0.2.1"}}'
    server.admin.xadd("guard:rejections", {"record": line})
    assert asyncio.run(hear()) == ["192.0.2.1"]


def work(store):
    """One call of each sort, in all slots."""
    networks = [Network(4, ADDRESS.value + n, 32) for n in range(100)]
    offences = [Offence("relay", network, NOW) for network in networks]
    assert len(store.counters.count(offences, {"relay": Window(1, 600.0)})) == 100
    store.ledger.claim([Claim(n, "jail:relay", "x", NOW, NOW + 600) for n in networks], NOW)
    store.crowds.leave({network: [] for network in networks})
    assert sum(len(piece.claims) for piece in store.ledger.empty(NOW)) == 100


@pytest.mark.parametrize("name", ["redis", "valkey"])
def test_sentinel_and_cluster_over_tls(papers, tmp_path, name):
    """Nothing in the clear: not to Sentinel, not to the primary that it names, to no node."""
    program = valkey() if name == "valkey" else "redis-server"
    files = [
        f"tls-{part}-file {papers}/node.{end}" for part, end in (("cert", "pem"), ("key", "key"))
    ]
    tls = [*files, f"tls-ca-cert-file {papers}/ca.pem", 'save ""', "bind 127.0.0.1", "port 0"]
    keys = {"ssl_certfile": papers / "client.pem", "ssl_keyfile": papers / "client.key"}
    options = {"ssl": True, "ssl_ca_certs": papers / "ca.pem", **keys}
    with contextlib.ExitStack() as stack:

        def start(*lines, sentinel=False):
            port = free_port()
            home = tmp_path / str(port)
            home.mkdir()
            (home / "conf").write_text(
                "\n".join([*tls, f'dir "{home}"', f"tls-port {port}", *lines])
            )
            process = subprocess.Popen(
                [program, str(home / "conf"), *(["--sentinel"] if sentinel else [])],
                stdout=subprocess.DEVNULL,
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            client = stack.enter_context(redis.Redis(port=port, **options))
            until(lambda: answers(client))
            return port, client

        primary, _ = start(acl(), "tls-replication yes")
        watch = f"sentinel monitor fleet 127.0.0.1 {primary} 1"
        sentinel, asked = start(watch, "tls-replication yes", sentinel=True)
        until(lambda: asked.sentinel_masters()["fleet"]["flags"] == "master")
        given = settings(papers, 0, url=f"rediss+sentinel://guard@localhost:{sentinel}/fleet")
        store = RedisStore(given.redis)
        work(store)
        store.close()
        given = dataclasses.replace(given, tls_ca=None)
        with pytest.raises(Unavailable, match=r"no Sentinel tells over TLS, .* who 'fleet' is$"):
            RedisStore(given.redis)

        node, one = start(
            acl(), "cluster-enabled yes", "tls-cluster yes", f"cluster-port {free_port()}"
        )
        one.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        until(lambda: b"cluster_state:ok" in one.execute_command("CLUSTER", "INFO"))
        given = settings(papers, 0, url=f"rediss+cluster://guard@localhost:{node}")
        store = RedisStore(given.redis)
        work(store)
        store.close()
        given = dataclasses.replace(given, tls_ca=papers / "other.pem")
        with pytest.raises(Unavailable, match="its certificate is not trusted"):
            RedisStore(given.redis)


WRONG = [
    ({"tls_ca": "other.pem"}, r"its certificate is not trusted: .*\(tls_ca\)$"),
    ({"tls_ca": None}, r"its certificate is not trusted: .*\(tls_ca\)$"),
    ({"url": "rediss://guard@127.0.0.1:{port}"}, r"IP address mismatch, .*'127.0.0.1'"),
    ({"tls_certificate": None, "tls_private_key": None}, r"; does it want a certificate of"),
    (
        {"tls_certificate": "stranger.pem", "tls_private_key": "stranger.key"},
        r"or trust another CA than that of tls_certificate\?$",
    ),
    ({"url": "rediss://guard@localhost:{plain}"}, r"Timeout .*; does it speak TLS at this port\?$"),
    ({"password_file": "wrong"}, r"does not let us in: invalid username-password pair"),
    ({"password_file": None}, r"does not let us in: invalid username-password pair"),
    ({"password_file": "absent"}, r"does not let us in: .*/absent: No such file or directory$"),
    ({"tls_ca": "absent"}, r"cannot be asked: .*/absent: No such file or directory$"),
    ({"tls_ca": "empty"}, r"cannot be asked: .*/empty: "),
    ({"tls_private_key": "server.key"}, r"cannot be asked: .*/server\.key: "),
]  # fmt: skip


@pytest.mark.parametrize(("given", "words"), WRONG)
def test_what_is_wrong_is_said_in_a_line(server, papers, given, words):
    """Certificate, name, password or file: one line that says which, and never the password."""
    server.admin.execute_command("ACL", "SETUSER", "default", "off")
    named = {
        key: value.format(port=server.port, plain=server.plain)
        if key == "url"
        else value and papers / value
        for key, value in given.items()
    }
    with pytest.raises(GuardError, match=words) as raised:
        RedisStore(settings(papers, server.port, **named).redis)
    text = str(raised.value)
    assert isinstance(raised.value, Forbidden | Unavailable)
    assert "\n" not in text
    assert WORD not in text and "not-that-word" not in text


def test_a_new_password_counts_from_the_next_connection(server, papers, tmp_path):
    """It is changed in Redis, then in the file: Guard is let out, and in again."""
    word = tmp_path / "word"
    word.write_text(WORD)
    store = ShelteredStore(settings(papers, server.port, password_file=word).redis)
    shelter = store.shelter
    server.admin.execute_command("ACL", "SETUSER", "guard", "resetpass", ">the-new-one")
    server.admin.client_kill_filter(user="guard")
    shelter._again = 0.0
    claim = Claim(ADDRESS, "jail:relay", "x", NOW, NOW + 600)
    store.ledger.claim([claim], NOW)
    assert "does not let us in" in shelter.said()
    word.write_text("the-new-one\n")
    assert [found.network for found in store.ledger.claims(NOW)] == [ADDRESS]
    assert shelter.said() == "answers"
    store.close()


def test_commands_say_where_and_never_the_password(server, papers, tmp_path, capsys, monkeypatch):
    """`guard check`, `ban` and `bans` with a configuration file, then with a wrong password."""
    file = tmp_path / "guard.toml"
    for name in ("ca.pem", "client.pem", "client.key", "word"):
        shutil.copy(papers / name, tmp_path / name)
    (tmp_path / "client.key").chmod(0o600)
    file.write_text(
        f'[state]\ndir = "state"\n[store]\nurl = "rediss://guard@localhost:{server.port}"\n'
        'password_file = "word"\ntls_ca = "ca.pem"\ntls_certificate = "client.pem"\n'
        'tls_private_key = "client.key"\n'
    )
    assert run(["check", "-c", str(file)]) == 0
    assert run(["ban", "45.66.230.7", "-c", str(file)]) == 0
    assert run(["bans", "-c", str(file)]) == 0
    said = capsys.readouterr()
    assert "45.66.230.7" in said.out
    (tmp_path / "word").write_text("not-that-word")
    (tmp_path / "word").chmod(0o604)
    assert run(["check", "-c", str(file)]) == 0
    assert run(["bans", "-c", str(file)]) == 77
    said = capsys.readouterr()
    assert "store.password_file" in said.out + said.err
    (line,) = (each for each in said.err.splitlines() if "let us in" in each)
    assert f"Redis at rediss://localhost:{server.port}/0 does not let us in" in line
    assert "not-that-word" not in said.out + said.err
    (tmp_path / "word").unlink()
    assert run(["check", "-c", str(file)]) == 78
    assert "store.password_file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ('url = "redis://:word@h"\npassword_file = "w"', ["password_file"]),
        ('url = "redis://h"\npassword_file = "w"\ncredential = "c"', ["password_file"]),
        ('url = "redis://h"\ncredential = "a b"', ["password_file"]),
        ('url = "redis://h"\ntls_ca = "c"\ntls_certificate = "c"', ["tls_ca", "tls_certificate"]),
        ('url = "rediss://h"\ntls_private_key = "c"', ["tls_private_key"]),
        ('tls_ca = "c"\ncredential = "x"', ["credential", "tls_ca"]),
    ],
)
def test_contradictions_are_faults(tmp_path, text, keys):
    """Two passwords, TLS files without TLS, a key without its certificate, without url."""
    with pytest.raises(ConfigError) as raised:
        config.parse(tomllib.loads(f"[store]\n{text}"), tmp_path / "guard.toml")
    assert [fault.key for fault in raised.value.faults] == [f"store.{key}" for key in keys]
    assert "word" not in str(raised.value).replace("password", "")


def test_a_password_in_a_file_for_all_is_a_warning(tmp_path):
    """That of the configuration itself, too."""
    file = tmp_path / "guard.toml"
    file.touch(0o644)
    (warning,) = check_store(StoreSettings(url="redis://:word@h"), str(file))
    assert warning.key == "store.url"
    assert "word" not in str(warning).replace("password", "")
    file.chmod(0o640)
    assert check_store(StoreSettings(url="redis://:word@h"), str(file)) == []


def test_a_systemd_credential(server, papers, tmp_path, monkeypatch):
    """The password as systemd passes it to the service."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "redis").write_text(WORD)
    given = settings(papers, server.port, password_file=None, credential="redis")
    store = RedisStore(given.redis)
    assert store.ledger.claims(NOW) == []
    store.close()
    assert check_store(given, "") == []


def test_nothing_shows_a_password():
    """Not even a URL or settings that are printed by mistake."""
    url = RedisUrl(hosts=(("h", 1),), user="me", password=WORD, access=Access())
    assert WORD not in repr(url) + str(url) + repr(StoreSettings(url=f"redis://:{WORD}@h"))
