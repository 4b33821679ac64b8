"""etc/kumomta in Lua 5.4: right by its grammar, and seen working against the real receiver."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from service import Service, guard
from support import free_port, need

from guard.events import Kind, Rejection
from guard.lib.fields import Endpoint
from guard.sources.settings import WebhookSettings
from guard.sources.webhook import Webhook

PROJECT = Path(__file__).parent.parent.parent
FOLDER = PROJECT / "etc" / "kumomta"
SECRET = "a secret of enough characters"


@pytest.fixture(autouse=True)
def _lua():
    """These tests need Debian's Lua, and curl for its requests."""
    need(bool(shutil.which("lua5.4")) and bool(shutil.which("luac5.4")), "lua5.4")
    need(bool(shutil.which("curl")), "curl")


def lua(tmp_path: Path, script: str) -> str:
    """What a script prints that has `stub` and `guard` at hand."""
    tests = Path(__file__).parent
    run = subprocess.run(
        ["lua5.4", "-"],
        input=f"package.path = '{tests}/?.lua;{FOLDER}/?.lua;' .. package.path\n"
        "local stub = require 'kumo_stub'\nlocal guard = require 'guard'\n" + script,
        capture_output=True,
        text=True,
        timeout=60,
        env={
            **os.environ,
            "KUMO_STUB_DIR": str(tmp_path),
            "KUMO_STUB_PYTHON": sys.executable,
        },
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def eventually(happened: Callable[[], object]) -> None:
    """Waits for something to become true."""
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.glob("*.lua")))
def test_the_grammar_is_right(name):
    """Lua 5.4, which KumoMTA embeds, compiles it."""
    run = subprocess.run(["luac5.4", "-p", str(FOLDER / name)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_the_shaping_file_is_toml_for_the_queue_that_the_hook_makes(tmp_path):
    """The section's name is log_hooks' name for the queue: NAME.log_hook."""
    shaping = tomllib.loads((FOLDER / "guard-shaping.toml").read_text())
    name = lua(tmp_path, "print(guard.name)").strip()
    assert list(shaping) == [f"{name}.log_hook"]


def record(number: int) -> str:
    """A Rejection as KumoMTA writes it."""
    return json.dumps(
        {
            "type": "Rejection", "id": "",
            "response": {"code": 550, "enhanced_code": {"class": 5, "subject": 7, "detail": 1},
                         "content": "relaying not permitted", "command": f"RCPT TO:<é{number}@x>"},
            "peer_address": {"name": 'say "x"', "addr": f"192.0.2.{number}"},
            "timestamp": 1757675281,
        }, ensure_ascii=False,
    )  # fmt: skip


async def received(tmp_path: Path, script: str, wanted: int) -> list[Rejection]:
    """The events that the real webhook makes of what a script sends."""
    secret = tmp_path / "guard.secret"
    secret.write_text(SECRET + "\n")
    settings = WebhookSettings(
        type="webhook", listen=Endpoint("127.0.0.1", free_port()), secret_file=secret
    )
    hook = Webhook(settings, tmp_path / "state")
    events: list = []

    async def collect() -> None:
        async for batch in hook.batches():
            events.extend(batch)
            if len(events) >= wanted:
                return

    (tmp_path / "requests").mkdir()
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(collect())
        while not hook.addresses:  # noqa: ASYNC110 - it has no event, and needs none
            await asyncio.sleep(0.01)
        text = script.replace("URL", f"http://{settings.listen}/").replace("SECRET", str(secret))
        await asyncio.to_thread(lua, tmp_path / "requests", text)
    return events


def test_rejections_reach_guard_in_batches_with_the_secret(tmp_path):
    """A batch is one request; what arrives is counted, each record once."""
    batch = "\n".join(f"table.insert(batch, stub.message [==[{record(n)}]==])" for n in range(1, 6))
    script = f"""
guard.send_rejections {{ url = 'URL', secret_file = 'SECRET' }}
local hook = stub.hooks['guard']
assert(hook.log_parameters.per_record.Rejection.enable == true)
assert(hook.log_parameters.per_record.Any.enable == false)
assert(hook.batch_size > 1)
local connection = hook.constructor('guard.log_hook')
local batch = {{}}
{batch}
assert(connection:send_batch(batch):match '^200 ')
assert(connection:send(stub.message [==[{record(9)}]==]):match '^200 ')
connection:close()
"""
    events = asyncio.run(received(tmp_path, script, 6))
    assert [event.address for event in events] == [f"192.0.2.{n}" for n in (1, 2, 3, 4, 5, 9)]
    assert {event.kind for event in events} == {Kind.RELAY_DENIED}
    requests = list((tmp_path / "requests").iterdir())
    assert len(requests) == 4  # two requests, each with its body


def test_a_wrong_secret_is_tried_again_and_a_bad_body_is_not(tmp_path):
    """KumoMTA loses a record for good on a 5xx, so that only what can never pass gets one."""
    wrong = tmp_path / "wrong"
    wrong.write_text("something else\n")
    script = f"""
guard.send_rejections {{ url = 'URL', secret_file = '{wrong}' }}
local connection = stub.hooks['guard'].constructor()
local ok, told = pcall(connection.send, connection, stub.message [==[{record(1)}]==])
assert(not ok and told:match '^REJECT 451 guard: 401', told)
guard.send_rejections {{ url = 'URL', secret_file = 'SECRET' }}
connection = stub.hooks['guard'].constructor()
ok, told = pcall(connection.send, connection, stub.message 'no record')
assert(not ok and told:match '^REJECT 500 guard: 400', told)
assert(connection:send(stub.message [==[{record(2)}]==]))
guard.send_rejections {{ url = 'http://127.0.0.1:1/' }}
connection = stub.hooks['guard'].constructor()
ok, told = pcall(connection.send, connection, stub.message [==[{record(1)}]==])
assert(not ok and not told:match 'REJECT', told) -- a transport error: KumoMTA tries again
"""
    events = asyncio.run(received(tmp_path, script, 1))
    assert [event.address for event in events] == ["192.0.2.2"]


def test_releases_without_batches_send_one_by_one(tmp_path):
    """Their helper refuses the options for batches; any other complaint of it is the operator's."""
    script = """
local known = { name = true, log_parameters = true, queue_config = true, constructor = true }
stub.helper_fields = known
guard.send_rejections { url = 'http://127.0.0.1:1/' }
local hook = stub.hooks['guard']
assert(hook.batch_size == nil and hook.log_parameters.per_record.Any.enable == false)
assert(hook.constructor().send)
known.queue_config = nil
local ok, told = pcall(guard.send_rejections, { url = 'http://127.0.0.1:1/' })
assert(not ok and told:find "unknown field", told)
"""
    lua(tmp_path, script)


def documented(language: str, word: str) -> str:
    """The block of docs/kumomta.md in this language that has `word` in it."""
    blocks = re.findall(
        rf"```{language}\n(.*?)```", (PROJECT / "docs/kumomta.md").read_text(), re.DOTALL
    )
    found = [block for block in blocks if word in block]
    assert len(found) == 1, word
    return found[0]


def test_the_page_leads_from_a_refusal_to_a_closed_door(tmp_path):
    """Its own lines with a daemon of Guard: refusals, a ban, its list, and a 421 at connect."""
    port, secret, bans = free_port(), tmp_path / "guard.secret", tmp_path / "bans.txt"
    secret.write_text(SECRET + "\n")
    places = {
        "127.0.0.1:8026": f"127.0.0.1:{port}",
        "/opt/kumomta/etc/guard.secret": str(secret),
        "/opt/kumomta/etc/policy/scanners.toml": str(PROJECT / "etc" / "scanners.toml"),
        "/var/lib/guard/bans.txt": str(bans),
    }

    def here(text: str) -> str:
        for place, ours in places.items():
            text = text.replace(place, ours)
        return text

    config = tmp_path / "guard.toml"
    config.write_text(
        f'[state]\ndir = "{tmp_path}/state"\n[protect]\nreserved = false\n'
        f'[jails]\npath = ["{PROJECT}/jail.d"]\nfilters = ["{PROJECT}/filter.d"]\n'
        + here(documented("toml", "webhook"))
    )
    policy = "local kumo = require 'kumo'\n"  # as every init.lua begins
    policy += here("".join(documented("lua", w) for w in ("send_rej", "on_ehlo", "on_connection")))
    now = int(time.time())
    batch = "".join(
        f"table.insert(batch, stub.message [==[{record(7).replace('1757675281', str(now))}]==])\n"
        for _ in range(5)
    )
    sent = f"local batch = {{}}\n{batch}stub.hooks['guard'].constructor():send_batch(batch)\n"
    asked = "".join(
        f"print(pcall(stub.events['{event}'], {arguments}))\n"
        for event, arguments in (
            ("smtp_server_ehlo", "'scan-01.shodan.io', {}"),
            ("smtp_server_ehlo", "'mx.example.com', {}"),
            ("smtp_server_connection_accepted",
             "{ get_meta = function() return '192.0.2.7:4711' end }"),
            ("smtp_server_connection_accepted",
             "{ get_meta = function() return '192.0.2.8:4711' end }"),
        )
    )  # fmt: skip
    daemon = Service("daemon", config)
    daemon.start()
    try:
        lua(tmp_path, policy + sent)
        eventually(lambda: daemon.ask("bans"))
        guard("export", "bans", str(bans), "-c", str(config))
    finally:
        daemon.stop()
    assert bans.read_text() == "192.0.2.7\n"
    ends = [
        line.partition("\t")[2][:10] or "in" for line in lua(tmp_path, policy + asked).split("\n")
    ]
    assert ends[:4] == ["REJECT 550", "in", "REJECT 421", "in"]


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("expanse", True), ("xpanse-scanner", True), ("ylmf-pc", True), ("YLMF-PC", True),
        ("mail.example.com", False), ("expanse.example.com", False), ("", False),
        ("ylmf-pc.example.com", False), ("[192.0.2.1]", False), ("paloaltonetworks.com", False),
    ],
)  # fmt: skip
def test_scanners_are_refused_by_name(tmp_path, name, refused):
    """Only by names that no mail server has."""
    out = lua(tmp_path, f"print(pcall(guard.on_ehlo, '{name}', {{}}))")
    assert out.startswith("false\tREJECT 550 5.7.1 scanners are not served here") is refused
    assert out.startswith("true") is not refused


def test_the_names_of_guards_own_list_are_refused_too(tmp_path):
    """load_scanners takes the `ehlo` expressions of a list such as etc/scanners.toml."""
    (tmp_path / "list.toml").write_text(
        "[[scanner]]\nname = 'A'\nehlo = ['^a-scanner\\b', '(^|\\.)a\\.example$']\n"
        "[[scanner]]\nname = 'B'\nagent = ['b']\n[[protocol]]\nname = 'C'\nline = ['c']\n"
    )
    names = {"a-scanner": True, "x.a.example": True, "xa.example": False, "mail.example.com": False,
             "ylmf-pc": True, "c": False, "": False}  # fmt: skip
    calls = "\n".join(f"print(guard.is_scanner '{name}')" for name in names)
    out = lua(tmp_path, f"guard.load_scanners '{tmp_path}/list.toml'\n{calls}")
    assert [line == "true" for line in out.split()] == list(names.values())


def test_the_list_that_comes_with_guard_can_be_loaded(tmp_path):
    """And every name that guard.lua knows by itself is in it."""
    path = PROJECT / "etc" / "scanners.toml"
    names = ["expanse", "ylmf-pc", "masscan", "zgrab", "nmap.scanme.org", "mx.example.com"]
    calls = "\n".join(f"print(guard.listed:captures '{name}' ~= nil)" for name in names)
    out = lua(tmp_path, f"guard.load_scanners '{path}'\n{calls}").split()
    assert out == ["true"] * 5 + ["false"]


def test_guard_knows_the_reply_to_a_scanner(tmp_path):
    """The refusal counts as kind `scanner`, whatever name the record carries."""
    from guard.filters.classify import classify

    text = lua(tmp_path, "io.write(guard.scanner_reply)")
    assert classify(550, None, text, "EHLO x", "") is Kind.SCANNER


@pytest.mark.parametrize(
    ("peer", "banned"),
    [
        ("192.0.2.7:4711", True), ("192.0.2.8:4711", False), ("198.51.100.200:1", True),
        ("198.51.101.1:1", False), ("[2001:db8:1:2:3::4]:25", True),
        ("[2001:db8:1:3::1]:25", False), ("", False), ("nonsense", False), ("unix:/run/x", False),
    ],
)  # fmt: skip
def test_the_banned_are_turned_away_at_connect(tmp_path, peer, banned):
    """By address and by network; anything odd gets in."""
    bans = tmp_path / "bans.txt"
    bans.write_text("# Guard\n192.0.2.7\n198.51.100.0/24\n\n2001:db8:1:2::/64 # a comment\n")
    script = f"""
guard.bans_file = '{bans}'
local meta = {{ get_meta = function(_, key) assert(key == 'received_from') return '{peer}' end }}
print(pcall(guard.on_connection_accepted, meta))
"""
    out = lua(tmp_path, script)
    assert out.startswith("false\tREJECT 421 4.3.2") is banned
    assert out.startswith("true") is not banned


def test_nobody_is_turned_away_without_a_list(tmp_path):
    """A file that is not there, or holds nonsense, bans nobody."""
    (tmp_path / "odd").write_text("300.1.1.1\n1.2.3\n:::::\n/24\nGET / HTTP/1.1\n")
    for name in ("gone", "odd"):
        script = f"guard.bans_file = '{tmp_path}/{name}'\nprint(guard.is_banned '192.0.2.1:25')"
        assert lua(tmp_path, script).strip() == "false"


def test_the_service_names_a_directory_that_the_log_example_makes():
    """What one writes the other reads."""
    service = (FOLDER / "kumomta-rejections.service").read_text()
    folder = re.search(r"Rejection = \{\s*log_dir = '([^']+)'", (FOLDER / "logs.lua").read_text())
    assert folder
    assert f" {folder[1]}\n" in service
