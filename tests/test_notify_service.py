"""Bans are told by a real `guard up` to real receivers: HTTP and SMTP on loopback."""

import email.policy
import json
import signal
import sqlite3
import time
from contextlib import closing
from email import message_from_bytes

import pytest
from aiosmtpd.controller import Controller
from netns import eventually
from notices import SECRET, Receiving
from service import Service, dialogue, guard
from support import free_port

# What peers say, and what only the operator knows: none of it is anybody else's business.
PLANTED = (
    "planted-helo.example", "planted-sender", "planted-recipient", "planted.example",
    "planted-command", "planted-mx.example", SECRET, "verysecretpath",
)  # fmt: skip
OFFENDER = "127.0.0.66"
CONFIG = """
[state]
dir = "state"
[log]
records = "records.jsonl"
[[listener]]
listen = "127.0.0.1:{smtp}"
hostname = "planted-mx.example"
[protect]
reserved = false
own = false
[web]
listen = "127.0.0.1:{web}"
[queue."ops.example"]
routing_domain = "[127.0.0.1]:{sink}"
tls = "off"
prohibited_hosts = []
{notify}
"""
WEBHOOK = """
[[notify]]
type = "webhook"
name = "ops"
url_file = "url"
secret_file = "secret"
sources = ["jail", "manual"]
host = "here"
timeout = "60s"
"""
MAIL = """
[[notify]]
type = "mail"
to = ["team@ops.example"]
digest = "1m"
host = "here"
"""


class Here:
    """A folder with a configuration, a receiver, and the service."""

    def __init__(self, folder):
        self.folder, self.receiving = folder, Receiving()
        self.smtp, self.web, self.sink = free_port(), free_port(), free_port()
        (folder / "url").write_text(self.receiving.url)
        (folder / "secret").write_text(SECRET)
        self.config = folder / "guard.toml"
        self.service = Service("up", self.config)

    def start(self, notify=WEBHOOK):
        """Runs `guard up`."""
        ports = {"smtp": self.smtp, "web": self.web, "sink": self.sink}
        self.config.write_text(CONFIG.format(notify=notify, **ports))
        self.service.start()

    def offend(self, times=5):
        """A stranger tries to relay, and says much."""
        for _ in range(times):
            dialogue(
                ("127.0.0.1", self.smtp), "EHLO planted-helo.example", "XPLANTED planted-command",
                "MAIL FROM:<planted-sender@planted.example>",
                "RCPT TO:<planted-recipient@planted.example>", source=OFFENDER,
            )  # fmt: skip

    def told(self):
        """(event, network) of every request."""
        return [(r.json["event"], r.json.get("network")) for r in self.receiving.requests]

    def row(self, name="ops"):
        """What the status tells of one."""
        (status,) = self.service.ask("status")
        return next(row for row in status["notify"] if row["name"] == name)


@pytest.fixture
def here(tmp_path):
    """Everything, ended at the end."""
    made = Here(tmp_path)
    yield made
    made.service.stop()
    made.receiving.close()


def test_bans_of_a_jail_and_by_hand_and_their_ends_are_told(here):
    """Each once, signed, and with nothing in it that anybody said."""
    here.start()
    here.offend()
    assert eventually(lambda: here.told() == [("ban", OFFENDER)]), here.service.said()
    here.service.ask("ban", "203.0.113.9", "--for", "1h", "--reason", "asked to")
    assert eventually(lambda: len(here.told()) == 2)
    here.service.ask("unban", OFFENDER)
    here.service.ask("unban", "203.0.113.9")
    assert eventually(lambda: len(here.told()) == 4)
    assert here.told()[1:] == [
        ("ban", "203.0.113.9"), ("unban", OFFENDER), ("unban", "203.0.113.9"),
    ]  # fmt: skip
    first, by_hand, *_ = (request.json for request in here.receiving.requests)
    assert (first["source"], first["host"]) == ("jail:kumomta-relay", "here")
    assert first["reason"].startswith("5 rejections within ")
    assert (by_hand["source"], by_hand["reason"]) == ("manual", "asked to")
    assert all(request.signed() for request in here.receiving.requests)
    assert len({request.id for request in here.receiving.requests}) == 4
    assert here.row() == {
        "name": "ops", "to": "http://127.0.0.1/...", "queued": 0, "sent": 4, "failed": 0,
        "expired": 0, "lost": 0, "error": "",
    }  # fmt: skip
    assert (here.folder / "records.jsonl").read_text().count("planted-recipient")
    sent = " ".join(r.body.decode() + str(r.headers) for r in here.receiving.requests)
    assert not [word for word in PLANTED if word in sent]


def test_nothing_shows_the_url_or_the_secret(here):
    """Neither log nor status nor page nor metrics, while all goes wrong."""
    here.receiving.answers = [(500, {}, f"{SECRET} {here.receiving.url}".encode())] * 2
    here.receiving.answers += [(404, {}, b"no verysecretpath here")]
    here.start()
    here.service.ask("ban", "203.0.113.9")
    assert eventually(lambda: here.row()["failed"] == 1), here.service.said()
    import urllib.request

    shown = here.service.said() + json.dumps(here.service.ask("status"))
    shown += guard("notify", "-c", str(here.config)).stdout
    shown += guard("check", "-c", str(here.config)).stderr
    for path in ("/", "/metrics", "/status.json"):
        with urllib.request.urlopen(f"http://127.0.0.1:{here.web}{path}") as page:
            shown += page.read().decode()
    assert "answers 404" in shown
    assert 'guard_notify_failed{name="ops"} 1.0' in shown
    assert not [word for word in (SECRET, "verysecretpath", "T00000000") if word in shown]


def test_a_kill_between_noting_and_telling_loses_nothing(here):
    """The message comes after the restart, with the id that it had before."""
    here.receiving.hanging.set()
    here.start()
    here.service.ask("ban", "203.0.113.9")
    assert here.receiving.came.wait(20), here.service.said()
    here.service.ask("ban", "203.0.113.10")
    assert eventually(lambda: here.row()["queued"] == 2)
    here.service.stop(signal.SIGKILL)
    here.receiving.hanging.clear()
    here.start()
    assert eventually(lambda: len(here.told()) == 3), here.service.said()
    time.sleep(2)  # nothing more may come
    first, again, other = here.receiving.requests
    assert (first.id, first.body) == (again.id, again.body)
    assert again.signed()
    assert other.id != first.id
    assert here.told() == [("ban", "203.0.113.9")] * 2 + [("ban", "203.0.113.10")]


def test_who_hangs_delays_no_ban_and_no_stop(here):
    """A minute's timeout, and both take moments."""
    here.receiving.hanging.set()
    here.start()
    here.service.ask("ban", "203.0.113.9")
    assert here.receiving.came.wait(20)
    here.offend()
    assert eventually(lambda: len(here.service.ask("bans")) == 2, 10)
    began = time.monotonic()
    assert here.service.stop() == 0
    assert time.monotonic() - began < 8, here.service.said()


def test_an_end_that_came_while_nothing_ran_is_told(here):
    """By the first look after the start."""
    here.start()
    here.service.ask("ban", "203.0.113.9", "--for", "3s")
    assert eventually(lambda: here.told() == [("ban", "203.0.113.9")])
    here.service.stop()
    time.sleep(3)
    here.start()
    assert eventually(lambda: len(here.told()) == 2, 20), here.service.said()
    assert here.told()[1] == ("unban", "203.0.113.9")
    assert here.receiving.requests[1].json["lifted"] is False


def test_the_command_tests_without_a_daemon(here):
    """0 when it was taken, 69 when not, 65 for a name that is none, 1 for nobody."""
    ports = {"smtp": 0, "web": here.web, "sink": here.sink}
    here.config.write_text(CONFIG.format(notify=WEBHOOK, **ports))

    def tried(*names):
        return guard("notify", "test", *names, "-c", str(here.config))

    assert tried().returncode == 0
    assert here.told() == [("test", None)]
    assert here.receiving.requests[0].signed()
    here.receiving.answers = [(500, {}, b"")]
    done = tried("ops")
    assert (done.returncode, done.stdout) == (69, "")
    assert "answers 500" in done.stderr
    assert tried("other").returncode == 65
    assert "http://127.0.0.1/..." in guard("notify", "-c", str(here.config)).stdout
    here.config.write_text(CONFIG.format(notify="", **ports))
    assert tried().returncode == 1


def test_faults_are_found_before_the_start(here):
    """`guard check` names the key; what has a fault stops nothing that runs."""
    (here.folder / "url").unlink()
    here.start()
    here.service.ask("ban", "203.0.113.9")
    assert eventually(lambda: "No such file" in here.row()["error"])
    done = guard("check", "--json", "-c", str(here.config))
    assert done.returncode == 78
    faults = [json.loads(line) for line in done.stdout.splitlines()]
    assert "notify[0].url_file" in [row["key"] for row in faults if row["level"] == "error"]
    (here.folder / "url").write_text(here.receiving.url)
    assert eventually(lambda: here.told() == [("ban", "203.0.113.9")], 30)


def test_a_damaged_book_is_set_aside(here):
    """Guard bans and tells all the same, and says what happened."""
    book = here.folder / "state" / "notify" / "ops.db"
    book.parent.mkdir(parents=True)
    book.write_bytes(b"no database, and long enough to be looked at" * 100)
    here.start()
    here.service.ask("ban", "203.0.113.9")
    assert eventually(lambda: here.told() == [("ban", "203.0.113.9")]), here.service.said()
    assert book.with_suffix(".broken").read_bytes().startswith(b"no database")
    assert "what was not told yet is lost" in here.service.said()


@pytest.mark.redis
def test_a_fleet_tells_a_ban_and_its_end_once(here, redis_server, tmp_path):
    """By the host that made it, also when another lifts it."""
    other = tmp_path / "other"
    other.mkdir()
    store = f'[store]\nurl = "{redis_server.url}"\n'
    here.start(WEBHOOK + store)
    text = here.config.read_text().replace('"url"', f'"{here.folder / "url"}"')
    text = text.replace('"secret"', f'"{here.folder / "secret"}"').replace('"here"', '"there"')
    for port in (here.smtp, here.web):
        text = text.replace(str(port), str(free_port()))
    (other / "guard.toml").write_text(text)
    there = Service("up", other / "guard.toml")
    try:
        there.start()
        here.service.ask("ban", "203.0.113.9", "--for", "1h")
        assert eventually(lambda: len(here.told()) == 1)
        there.ask("unban", "203.0.113.9")
        assert eventually(lambda: len(here.told()) == 2, 60), there.said()
        time.sleep(1)
    finally:
        there.stop()
    assert here.told() == [("ban", "203.0.113.9"), ("unban", "203.0.113.9")]
    assert {request.json["host"] for request in here.receiving.requests} == {"here"}
    assert here.receiving.requests[1].json["lifted"] is True


def test_a_mail_waits_in_the_spool_until_somebody_delivers(here):
    """The command's test, and a daemon's digest, are spooled as any accepted mail."""
    here.config.write_text(CONFIG.format(notify=MAIL, smtp=0, web=here.web, sink=here.sink))
    done = guard("notify", "test", "--json", "-c", str(here.config))
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["name"], answer["to"], answer["error"]) == ("mail", "team@ops.example", "")
    (waiting,) = [
        json.loads(line)
        for line in guard("spool", "list", "--json", "-c", str(here.config)).stdout.splitlines()
    ]
    assert (waiting["id"], waiting["sender"]) == (answer["id"], "")
    assert waiting["recipients"] == ["team@ops.example"]


class Kept:
    """Keeps what an SMTP server takes."""

    def __init__(self):
        self.mails = []

    async def handle_DATA(self, server, session, envelope):  # noqa: N802  its name
        self.mails.append(envelope)
        return "250 OK"


def test_a_digest_goes_out_by_mail(here):
    """Through our own spool and delivery, from the null sender, a minute after it began."""
    kept = Kept()
    sink = Controller(kept, hostname="127.0.0.1", port=here.sink)
    sink.start()
    try:
        here.start(MAIL)
        here.offend()
        here.service.ask("ban", "203.0.113.9")
        here.service.ask("unban", "203.0.113.9")
        assert guard("notify", "test", "-c", str(here.config)).returncode == 0
        assert eventually(lambda: len(kept.mails) == 1, 20), here.service.said()
        assert len(kept.mails) == 1
        # Nobody waits a minute for a test: the digest began earlier.
        with closing(sqlite3.connect(here.folder / "state" / "notify" / "mail.db")) as book, book:
            began = book.execute("UPDATE state SET value = value - 50 WHERE name = 'digest'")
            assert began.rowcount == 1
        assert eventually(lambda: len(kept.mails) == 2, 90), here.service.said()
    finally:
        sink.stop()
    tested, digest = kept.mails
    assert b"A test of Guard's notifications" in tested.content
    assert (digest.mail_from, digest.rcpt_tos) == ("<>", ["team@ops.example"])
    mail = message_from_bytes(digest.content, policy=email.policy.default)
    assert not mail.defects
    assert mail["Subject"].startswith("Guard: 2 bans, 1 un-ban in 1m")
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["From"] == "Guard <guard@planted-mx.example>"
    text = mail.get_content()
    assert "jail:kumomta-relay: 1" in text
    assert "manual: 1" in text
    assert "relay_denied: 5" in text
    assert f"{OFFENDER}: 1 ban, 1 strikes" in text or f"{OFFENDER}: 1 ban" in text
    assert not [word for word in PLANTED if word in text]
