"""etc/guard.toml shows every setting with its true default."""

import dataclasses
import re
import tomllib
from typing import get_args

from support import PROJECT

from guard import config
from guard.config import Settings
from guard.lib.fields import parse_endpoint

FILE = PROJECT / "etc" / "guard.toml"
# The machine's own, or of no meaning until they are set: shown with an example.
EXAMPLES = {
    "state.dir", "state.socket", "store.url", "store.password_file", "store.tls_ca",
    "store.tls_certificate", "store.tls_private_key", "log.records", "log.events",
    "listener.hostname",
    "listener.policy", "listener.credentials", "listener.tls_certificate",
    "listener.tls_private_key", "delivery.hostname", "jails.path", "jails.filters", "web.listen",
    "check.abuseipdb.key_file", "check.virustotal.key_file", "check.greynoise.key_file",
    "check.zen.key_file", "report.abuseipdb.key_file",
}  # fmt: skip
# One of many kinds, documented on their own page.
KINDS = {"queue", "source", "feed", "notify"}


def uncommented() -> str:
    """The file as it is when every setting is switched on; prose has a blank after its #."""
    return re.sub(r"^#(?=\S)", "", FILE.read_text(), flags=re.MULTILINE)


def leaves(cls, given, prefix):
    """(name, default, given value or None) of every setting of a section."""
    for field in dataclasses.fields(cls):
        name, value = f"{prefix}.{field.name}", getattr(given, field.name)
        default = (
            field.default_factory()
            if field.default_factory is not dataclasses.MISSING
            else field.default
        )
        if dataclasses.is_dataclass(default):
            yield from leaves(type(default), value, name)
        elif dataclasses.is_dataclass(value):  # a section that is off while it is not there
            yield from leaves(type(value), value, name)
        else:
            yield name, default, value


def sections(settings):
    """(name, class, value) of the sections that every configuration has."""
    hints = config._hints(Settings)
    for field in dataclasses.fields(Settings):
        if field.name in KINDS:
            continue
        hint, value = hints[field.name], getattr(settings, field.name)
        if field.name == "listener":
            hint, value = get_args(hint)[0], value[0]
        yield field.name, hint, value


def test_as_it_is_shipped_it_is_the_defaults():
    """With everything commented out the file changes nothing."""
    assert config.load(FILE) == config.defaults()


def test_every_setting_is_shown_with_its_default():
    """Uncommented, each setting has the value that it has without the file."""
    settings = config.parse(tomllib.loads(uncommented()), FILE)
    wrong = [
        f"{name} = {value!r}, the default is {default!r}"
        for section, cls, given in sections(settings)
        for name, default, value in leaves(cls, given, section)
        if value != default and name not in EXAMPLES
    ]
    assert not wrong


def test_no_setting_is_left_out():
    """A new setting comes with its line and its words."""
    text = FILE.read_text()
    settings = config.parse(tomllib.loads(uncommented()), FILE)
    missing = [
        name
        for section, cls, given in sections(settings)
        for name, _, _ in leaves(cls, given, section)
        if not re.search(rf"^#?{name.rpartition('.')[2]} = ", text, re.MULTILINE)
    ]
    assert not missing


def test_every_page_it_names_is_there():
    """docs/... in a comment is a page that exists."""
    pages = re.findall(r"docs/[a-z0-9]+\.md", FILE.read_text())
    assert pages
    assert all((PROJECT / page).is_file() for page in pages)


def test_the_listeners_default_address():
    """What the README says `make run` listens on is the default."""
    assert config.defaults().listener[0].listen == parse_endpoint("127.0.0.1:2525")
    assert "127.0.0.1:2525" in (PROJECT / "README.md").read_text()
