"""guard/smtp/session.py without a socket: the same bytes, the same replies and records."""

import base64
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from listening import probes

from guard.filters.scanners import load_signatures
from guard.lib.networks import parse_address, parse_network
from guard.lib.prefixes import PrefixMap
from guard.records import encode
from guard.relay.policy import StaticPolicy
from guard.relay.verdict import Reports, Verdict
from guard.roles import Unavailable
from guard.smtp.listener import Facts, Listener, Peer, Tls
from guard.smtp.pending import Handshake, Pause, Question, Work
from guard.smtp.session import Dialogue
from guard.smtp.settings import ListenerSettings, shipped_scanners

SIGNATURES = load_signatures(shipped_scanners())
PEER = Peer(parse_address("192.0.2.7"), "192.0.2.7", 4711, "192.0.2.7:4711", "192.0.2.1:25")


class Page:
    """A spooled message in memory, kept by `spool` when committed."""

    def __init__(self, spool):
        self.id, self.spool, self.data = f"{len(spool.kept):032x}", spool, b""

    def write(self, data):
        if self.spool.broken == "write":
            raise Unavailable("disk full")
        self.data += data

    def commit(self):
        if self.spool.broken == "commit":
            raise Unavailable("disk full")
        self.spool.kept.append(self.data)
        return self.id

    def abort(self):
        self.spool.aborted += 1


class Book:
    """A Spool in memory: the disk's own behaviour is tested with the disk, in test_server.py."""

    def __init__(self, broken=""):
        self.kept, self.aborted, self.broken = [], 0, broken

    def create(self, sender, recipients, meta):
        if self.broken == "create":
            raise Unavailable("disk full")
        return Page(self)


class Fixed:
    """A policy with one verdict for each recipient domain; a coroutine when `slow`."""

    def __init__(self, verdicts, *, slow=False):
        self.verdicts, self.slow = verdicts, slow

    def session(self):
        return self

    def check(self, asked):
        verdict = self.verdicts.get(asked.recipient_domain, Verdict(relay=False))

        async def later():
            return verdict

        return later() if self.slow else verdict


RELAYED = Fixed({"b.c": Verdict(relay=True)})


class Accounts:
    """An Authenticator with one account."""

    async def check(self, login):
        if login.user == "broken":
            raise Unavailable("no file")
        return (login.user, login.password) == ("daniel", "tiger")


class Play:
    """Plays bytes to a dialogue and does at once what it waits for."""

    def __init__(self, *, policy=RELAYED, spool=None, tls=False, accounts=None, **more):
        self.spool = spool or Book()
        self.clock = 0.0
        settings = ListenerSettings(hostname="mx.example.com", **more)
        listener = Listener(
            settings,
            policy,
            self.spool,
            "node",
            authenticator=accounts,
            starttls=True,
            signatures=SIGNATURES,
        )
        self.dialogue = Dialogue(listener, PEER, Facts(None, ""))
        if tls:
            self.dialogue.encrypt(Tls("AES", "TLSv1.3"))
        self.out, self.records, self.pauses = b"", [], []
        self.dialogue.greet(1757675281.0)
        self._take()
        self.out = b""

    def _take(self):
        out, records = self.dialogue.take()
        self.out += out
        self.records += records

    def send(self, data):
        """Feeds `data` and returns what was answered."""
        before = len(self.out)
        if not self.dialogue.closing:
            self.dialogue.feed(data, self.clock)
        while True:
            wanted = self.dialogue.pending
            self._take()
            if isinstance(wanted, Work):
                value = wanted.job()
            elif isinstance(wanted, Question):
                try:
                    wanted.answer.send(None)
                except StopIteration as end:
                    value = end.value
            elif isinstance(wanted, Pause):
                value = None
                self.pauses.append(wanted.seconds)
            elif isinstance(wanted, Handshake):
                value = Tls("AES", "TLSv1.3")
            else:
                return self.out[before:].decode()
            self.dialogue.answer(value, self.clock)

    def say(self, *lines):
        """The first line of the reply to the last of `lines`."""
        for line in lines:
            answer = self.send(line.encode() + b"\r\n")
        return answer.partition("\r\n")[0]

    def seen(self):
        """Everything that a byte more or less could change, session ids left out."""
        records = [re.sub(rb'"session_id":"[^"]*"', b"", encode(r)) for r in self.records]
        return self.out, records, self.spool.kept, self.dialogue.closing


def three_ways(data, **more):
    """What is seen when `data` comes whole; the same is asserted byte by byte and in sevens."""
    whole = Play(**more)
    whole.send(data)
    for size in (1, 7):
        parts = Play(**more)
        for at in range(0, len(data), size):
            parts.send(data[at : at + size])
        assert parts.seen() == whole.seen()
    return whole


WORDS = st.sampled_from(
    [
        b"EHLO x",
        b"MAIL FROM:<a@b.c>",
        b"RCPT TO:<a@b.c>",
        b"RCPT TO:<a@c.d>",
        b"DATA",
        b"\r\n",
        b".",
        b"\r\n.\r\n",
        b"\n",
        b"\r",
        b"AUTH PLAIN",
        b"AUTH LOGIN YQ==",
        base64.b64encode(b"\0daniel\0tiger"),
        b"*",
        b"RSET",
        b"QUIT",
        b"\xff\xfe",
        b"A" * 999,
        b"GET / HTTP/1.1",
        b"\0",
    ]
)
DIALOGUES = st.lists(WORDS | st.tuples(WORDS, st.just(b"\r\n")).map(b"".join), max_size=25)


@given(DIALOGUES.map(b"".join), st.booleans(), st.booleans())
def test_pieces_make_no_difference(data, tls, slow):
    """Dialogues of half-sense give the same in any pieces, with a hook or without."""
    policy = Fixed(RELAYED.verdicts, slow=slow)
    play = three_ways(data, tls=tls, accounts=Accounts(), policy=policy)
    assert_clean(play)


@example(b"\x7f\n")
@given(st.binary(max_size=1500))
def test_any_bytes(data):
    """Bytes of no sense at all, too."""
    assert_clean(three_ways(data))


def assert_clean(play):
    """Replies are whole lines with a code; each refusal has its record; nothing is torn."""
    lines = play.out.decode().split("\r\n")
    assert lines.pop() == ""
    assert all(re.fullmatch(r"[2-5]\d\d[ -].*", line) for line in lines)
    final = [line for line in lines if line[3] == " "]
    assert len([line for line in final if line[0] in "45"]) == len(play.records) - sum(
        record.type == "Reception" for record in play.records
    )
    for record in play.records:
        line = encode(record)
        assert line.isascii()
        assert line.decode().isprintable()
        assert record.peer_address.addr == "192.0.2.7"


PROBES = {
    "zgrab2/helo-empty": "syntax_error",
    "zgrab2/ehlo-domain-starttls-quit": "",
    "seen/http-get-cypex": "scanner",
    "seen/http-get-10": "non_smtp",
    "seen/http-get-proxyjudge": "non_smtp",
    "seen/http-post-smtp-over-http": "non_smtp",
    "seen/ehlo-ylmf-pc": "scanner",
    "seen/ehlo-localhost": "",
    "seen/ehlo-ABC": "",
    "seen/ehlo-quadmetrics": "scanner",
    "seen/ehlo-win-9ql": "relay_denied",
    "seen/ehlo-win-clj1": "relay_denied bad_sequence syntax_error",
    "seen/rdp-mstshash-administr": "non_smtp",
    "seen/rdp-mstshash-hello": "non_smtp",
    "seen/pjl": "non_smtp",
    "seen/tls-ciphers-fragment": "",
    "seen/auth-ntlm-openvas": "scanner",
    "seen/auth-login-ylmf": "scanner",
    "seen/auth-mixedcase": "auth_unsupported",
    "seen/auth-log-injection": "syntax_error",
    "seen/vrfy-honeypot": "command_unimplemented",
    "seen/expn-root": "command_unimplemented",
    "seen/auth-then-quit-pipelined": "auth_unsupported",
    "seen/noop-flood": "",
    "seen/empty-starttls-first": "",
    "seen/dionaea-http-connect": "non_smtp",
    **{
        f"smuggle/{name}": "relay_denied bad_sequence command_unimplemented syntax_error"
        for name in ("eod-1", "eod-2", "eod-4", "eod-5", "eod-7", "eod-8")
    },
    "own/long-line-no-crlf": "",
    "own/long-ehlo": "limit",
    "own/8bit-ehlo": "syntax_error",
    "own/crlf-only": "syntax_error limit",
    "own/ehlo-json-injection": "syntax_error",
    "own/ehlo-fail2ban-host-injection": "syntax_error",
    "own/proxy-v1": "non_smtp",
    "own/proxy-v2": "syntax_error non_smtp",
    "own/ssh-banner": "non_smtp",
    "own/mysql-like": "non_smtp",
}


def test_every_probe_is_what_it_is(shared):
    """What scanners were seen to send gives the kinds of the table, in any pieces."""
    found = probes(shared)
    names = {re.sub(r"^(smuggle/eod-\d).*", r"\1", name): name for name in found}
    assert names.keys() == PROBES.keys()
    for short, name in names.items():
        play = three_ways(found[name], policy=StaticPolicy())
        assert_clean(play)
        play.dialogue.lose()
        play._take()
        kinds = dict.fromkeys(record.kind for record in play.records)
        assert set(kinds) == set(PROBES[short].split()), name


def test_a_broken_off_request_is_recorded():
    """HTTP without an end: nothing to answer, but a rejection when the client is gone."""
    play = Play()
    assert play.send(b"GET / HTTP/1.1\r\nHost: x\r\n") == ""
    play.dialogue.lose()
    play._take()
    [record] = play.records
    assert (record.kind, record.response.command) == ("non_smtp", "GET / HTTP/1.1")


def test_manners_that_an_operator_may_ask_for():
    """EHLO first, under a name of its own, and nothing behind it before its reply."""
    play = Play(require_ehlo=True, refuse_own_name=True)
    assert play.say("MAIL FROM:<>") == "503 5.5.1 EHLO must be issued first"
    assert play.say("EHLO MX.example.com") == "550 5.7.1 that is my own name"
    assert play.say("HELO [192.0.2.1]") == "550 5.7.1 that is my own name"
    assert play.say("EHLO other.example", "MAIL FROM:<>") == "250 OK <>"
    assert [record.kind for record in play.records] == ["bad_sequence", "other", "other"]
    early = Play(forbid_early_pipelining=True)
    assert early.send(b"EHLO x\r\nMAIL FROM:<>\r\n") == (
        "554 5.5.1 mx.example.com did not offer pipelining yet\r\n"
    )
    assert early.dialogue.closing
    assert [record.kind for record in early.records] == ["early_talker"]
    polite = Play(forbid_early_pipelining=True)
    polite.say("EHLO x")
    assert polite.send(b"MAIL FROM:<>\r\nRCPT TO:<a@b.c>\r\n").count("250 ") == 2


def test_only_the_beginning_is_the_beginning():
    """Bytes in the middle of a first line that is too long say nothing, however they arrive."""
    play = three_ways(b"A" * 1400 + b"\x16\x03\x01" * 400 + b"\r\nNOOP\r\n")
    assert play.out == b"500 5.2.3 line too long\r\n250 the goggles do nothing\r\n"


def test_a_mechanism_may_say_who_it_is():
    """Answered 554 and closed, with a record in which nothing of the response stands."""
    play = Play()
    blob = "TlRMTVNTUAABAAAAB4IAgAAAAAAAAAAAAAAAAAAAAAA="
    assert play.say("HELO example.com", f"AUTH NTLM {blob}") == (
        "554 5.7.1 no service for scanners: OpenVAS"
    )
    assert play.dialogue.closing
    [record] = play.records
    assert (record.kind, record.response.command) == ("scanner", "AUTH NTLM")
    assert blob not in str(record)


def test_published_ranges():
    """An address that a scanner calls its own is told so instead of the banner."""
    ranges = PrefixMap([(parse_network("192.0.2.0/24"), "Censys")])
    listener = Listener(ListenerSettings(), RELAYED, Book(), "node", ranges=ranges)
    for trusted, begun in (
        (False, b"554 5.7.1 no service for scanners: Censys\r\n"),
        (True, b"220 "),
    ):
        dialogue = Dialogue(listener, PEER, Facts(None, ""), trusted=trusted)
        dialogue.greet(1757675281.0)
        out, records = dialogue.take()
        assert out.startswith(begun)
        told = [(record.kind, record.timestamp) for record in records]
        assert told == ([] if trusted else [("scanner", 1757675281)])


def test_the_tarpit_is_slower_with_each_error():
    """Errors are held back longer and longer, up to a bound; what is right is not."""
    play = Play(tarpit=1.0, tarpit_max=2.5)
    play.say("bogus", "NOOP", "bogus", "EHLO x", "bogus", "bogus")
    assert play.pauses == [1.0, 2.0, 2.5, 2.5]


SMUGGLED = [
    bytes.fromhex(end)
    for end in (
        "0a2e0a",
        "0a2e0d",
        "0d2e0d",
        "0a2e0d0a",
        "0d0a002e0d0a",
        "0d0a2e0d0d0a",
        "0d2e0d0a",
    )
]


@pytest.mark.parametrize("end", SMUGGLED, ids=bytes.hex)
def test_smuggling(end):
    """No other end than CRLF.CRLF ends a message; what hides behind one is never a command."""
    head = b"MAIL FROM:<a@b.c>\r\nRCPT TO:<a@b.c>\r\nDATA\r\nSubject: x\r\n\r\nbody"
    inner = b"MAIL FROM:<evil@b.c>\r\nRCPT TO:<x@b.c>\r\nDATA\r\nx\r\n"
    play = three_ways(head + end + inner + b"\r\n.\r\n")
    last = play.out.decode().split("\r\n")[-2]
    assert last == "552 5.6.0 message data must use CRLF for line endings"
    assert play.spool.kept == []
    assert play.out.count(b"354") == 1


def test_recipients_that_need_another_verdict_wait():
    """Copies that would be treated differently are not mixed; none is ever dropped in silence."""
    logged = Verdict(relay=False, log_oob=Reports.LOG)
    play = Play(policy=Fixed({"r.e": Verdict(relay=True), "l.og": logged}))
    assert play.say("MAIL FROM:<>", "RCPT TO:<a@r.e>") == "250 OK <a@r.e>"
    assert play.say("RCPT TO:<a@l.og>") == "452 4.5.3 this recipient needs a transaction of its own"
    assert play.say("RCPT TO:<b@r.e>") == "250 OK <b@r.e>"
    assert play.say("RSET", "MAIL FROM:<>", "RCPT TO:<a@l.og>") == "250 OK <a@l.og>"
    assert play.records[0].recipient == "a@r.e"
    assert play.records[0].kind == "other"


def test_what_is_no_report_is_refused_at_the_end():
    """A recipient for reports alone: one Rejection, no Reception, nothing on disk."""
    play = Play(policy=Fixed({"l.og": Verdict(relay=False, log_arf=Reports.LOG_THEN_DROP)}))
    play.say("EHLO x", "MAIL FROM:<a@b.c>", "RCPT TO:<a@l.og>", "DATA")
    assert play.say("Subject: x\r\n\r\n.") == "550 5.7.1 relaying not permitted"
    [record] = play.records
    assert (record.type, record.sender, record.recipient) == ("Rejection", "", "")
    assert (record.response.command, record.kind) == ("DATA", "relay_denied")
    assert (play.spool.kept, play.spool.aborted) == ([], 0)


def test_a_failed_hook_ends_the_session():
    """No verdict is no reason to guess: 421, and the connection closes."""
    failed = Fixed({"b.c": Verdict(relay=False, failed=True)}, slow=True)
    play = Play(policy=failed)
    play.say("MAIL FROM:<>")
    assert play.say("RCPT TO:<a@b.c>") == "421 4.3.0 mx.example.com technical difficulties"
    assert play.dialogue.closing
    assert play.records[0].kind == "other"


@pytest.mark.parametrize(
    ("broken", "answer"),
    [
        ("create", "452 4.3.1 the spool is not accepting writes. Try later"),
        ("write", "452 4.3.1 the spool is not accepting writes. Try later"),
        ("commit", "452 4.3.1 the message could not be stored. Try later"),
    ],
)
def test_a_spool_that_does_not_take_it(broken, answer):
    """No 250 without the disk; the sender keeps its copy, and may try again at once."""
    play = Play(spool=Book(broken))
    play.say("EHLO x", "MAIL FROM:<a@b.c>", "RCPT TO:<a@b.c>")
    begun = play.say("DATA")
    assert (play.say("x\r\n.") if begun.startswith("354") else begun) == answer
    assert play.say("MAIL FROM:<a@b.c>") == "250 OK <a@b.c>"
    assert [record.type for record in play.records] == ["Rejection"]


def test_limits_of_recipients():
    """Per message 452, per connection 452, and 421 when nothing else can follow."""
    play = Play(max_recipients_per_message=2, max_messages_per_connection=3)
    rcpt = "RCPT TO:<a@b.c>"
    assert play.say("MAIL FROM:<>", rcpt, rcpt) == "250 OK <a@b.c>"
    assert play.say(rcpt) == "452 4.5.3 too many recipients"
    assert play.say("RSET", "MAIL FROM:<>", rcpt) == "250 OK <a@b.c>"
    assert play.say(rcpt) == "452 4.5.3 too many recipients on this connection"
    assert play.say("RSET", "MAIL FROM:<>", rcpt) == (
        "421 4.5.3 mx.example.com too many recipients on this connection"
    )
    assert play.dialogue.closing
    assert {record.kind for record in play.records} == {"limit"}


def test_auth_plain():
    """Over TLS, with the initial response or without; then once is enough."""
    secret = base64.b64encode(b"\0daniel\0tiger").decode()
    play = Play(tls=True, accounts=Accounts())
    assert "250-AUTH PLAIN" in play.send(b"EHLO x\r\n").replace("250 AUTH", "250-AUTH")
    assert play.say("AUTH PLAIN") == "334  "
    assert play.say("*") == "501 5.5.0 AUTH cancelled by client"
    assert play.say("AUTH PLAIN", "!") == "501 5.5.2 Invalid base64 response"
    assert play.say("AUTH PLAIN", "AAAA") == "501 5.5.2 Invalid decoded PLAIN response"
    assert play.say("AUTH PLAIN =") == "501 5.5.2 Invalid decoded PLAIN response"
    assert play.say("AUTH PLAIN AP8A/w==") == "501 5.5.2 Invalid UTF8 in decoded PLAIN response"
    assert play.say("AUTH PLAIN", "x" * 999) == "500 5.5.6 authentication exchange line too long"
    assert play.say("AUTH PLAIN") == "334  "
    assert play.send(b"\xff\r\n") == "501 5.5.2 Invalid UTF-8 in authentication exchange\r\n"
    wrong = base64.b64encode(b"\0daniel\0lion").decode()
    assert play.say(f"AUTH PLAIN {wrong}") == "535 5.7.8 AUTH invalid"
    broken = base64.b64encode(b"\0broken\0x").decode()
    assert play.say(f"AUTH PLAIN {broken}") == "454 4.7.0 Temporary authentication failure"
    other = base64.b64encode(b"root\0daniel\0tiger").decode()
    assert play.say(f"AUTH PLAIN {other}") == "535 5.7.8 AUTH invalid"
    assert play.say("MAIL FROM:<>", f"AUTH PLAIN {secret}") == (
        "503 5.5.1 AUTH not permitted inside a transaction"
    )
    assert play.say("RSET", "AUTH PLAIN", secret) == "235 2.7.0 AUTH OK!"
    assert play.say(f"AUTH PLAIN {secret}") == "503 5.5.1 AUTH me once, can't get authed again!"
    said = repr(play.records)
    for part in (secret, wrong, other, broken, "tiger", "lion", "daniel", "AP8A"):
        assert part not in said
    assert {record.response.command for record in play.records} <= {"AUTH", "AUTH PLAIN"}


def test_auth_in_the_clear():
    """Other mechanisms first, then encryption, as KumoMTA asks; lower case is another one."""
    play = Play()
    assert play.say("AUTH PLAIN AGEAYg==") == (
        "524 5.7.11 AUTH PLAIN requires an encrypted channel"
    )
    assert play.say("auth plain") == "504 5.5.4 AUTH plain not supported"
    assert play.say("AUTH CRAM-MD5") == "504 5.5.4 AUTH CRAM-MD5 not supported"
    assert {record.kind for record in play.records} == {"auth_unsupported"}


def test_a_forgotten_mechanism_or_a_stubborn_client_tells_nobody_its_password():
    """Lines that are an AUTH exchange only in the client's mind are not written down."""
    play = Play()
    play.say("EHLO x", "AUTH aGFua3M6ODg4ODg4", "AUTH LOGIN", "aGFua3M=", "ODg4ODg4", "AUTH a b c")
    play.say("\tAUTH PLAIN AGEAYg==", "AGEAYg==")
    said = repr(play.records)
    for part in ("aGFua", "ODg4", "a b c", "AGEAYg"):
        assert part not in said
    play.say("NOOP", "bogus")
    assert play.records[-1].response.command == "bogus"


def test_starttls_forgets_what_was_said_in_the_clear():
    """Pipelined plaintext is discarded and the session begins anew (RFC 3207, section 4.2)."""
    play = Play()
    assert "250 STARTTLS\r\n" in play.send(b"EHLO x\r\n")
    answer = play.send(b"MAIL FROM:<a@b.c>\r\nSTARTTLS\r\nRCPT TO:<a@b.c>\r\nDATA\r\n")
    assert answer == "250 OK <a@b.c>\r\n220 Ready to Start TLS\r\n"
    assert play.say("RCPT TO:<a@b.c>") == "503 5.5.0 MAIL FROM must be issued first"
    assert play.records[0].peer_address.name == ""
    assert play.say("STARTTLS") == "501 Cannot STARTTLS as TLS is already active"
    assert "STARTTLS" not in play.send(b"EHLO x\r\n")


def test_a_broken_session_says_nothing_of_why():
    """An error of ours is 421 4.3.0 for the client."""
    play = Play()
    play.dialogue.fail(0.0)
    out, [record] = play.dialogue.take()
    assert out == b"421 4.3.0 mx.example.com technical difficulties\r\n"
    assert play.dialogue.closing
    assert record.response.command is None


def test_relay_hosts_of_a_real_policy():
    """With the policy of the configuration: inside is relayed, outside is not."""
    assert Play(policy=StaticPolicy([PEER.address])).say("MAIL FROM:<>", "RCPT TO:<a@b.c>") == (
        "250 OK <a@b.c>"
    )
    assert Play(policy=StaticPolicy()).say("MAIL FROM:<>", "RCPT TO:<a@b.c>") == (
        "550 5.7.1 relaying not permitted for 192.0.2.7:4711"
    )
