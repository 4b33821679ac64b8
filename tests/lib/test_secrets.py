"""A secret gets where it is sent, and nowhere else."""

import copy
import logging
import pickle
import traceback

import pytest

from guard.lib.secrets import (
    BadSecret,
    Secret,
    api_fault,
    exposed,
    place_faults,
    read_secret,
    scrub,
)

WORD = "c0ffee-0123456789abcdef"


def test_nothing_shows_it(caplog):
    """Neither text, format, container, log, exception, traceback nor what has it as a member."""
    secret = Secret(WORD, "key file")
    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret!r:>40}",
        f"{secret:>40}",
        f"{[secret]}",
    ]
    shown += [f"{secret!s}", f"{[secret]}", "%s" % secret, "{}".format(secret)]  # noqa: UP031, UP032
    logging.getLogger("x").error("key %s %r", secret, secret)
    try:
        raise ValueError(secret)
    except ValueError as error:
        shown += [str(error), repr(error), *traceback.format_exception(error)]
        kept = traceback.TracebackException.from_exception(error, capture_locals=True)
        shown += list(kept.format())
    shown.append(caplog.text)
    assert not any(WORD in text for text in shown)
    assert secret.reveal() == WORD
    assert secret.scrub(f"bad key {WORD}!") == "bad key ...!"
    odd = Secret("a b/c\nd")
    assert odd.scrub("a b/c\\nd a%20b%2Fc%0Ad a+b%2Fc%0Ad") == "... ... ..."
    assert scrub(f"{WORD} and sesame", [secret, Secret("sesame"), Secret("")]) == "... and ..."


def test_it_is_not_written_anywhere():
    """Copies of it through pickle and the like fail."""
    secret = Secret(WORD)
    with pytest.raises(TypeError, match="not written"):
        pickle.dumps(secret)
    with pytest.raises(TypeError, match="not written"):
        copy.deepcopy(secret)
    assert not hasattr(secret, "__dict__")


def test_secrets_are_compared_by_their_word():
    """And their hash tells nothing of it."""
    assert Secret(WORD) == Secret(WORD, "elsewhere")
    assert Secret(WORD) != Secret("other")
    assert Secret(WORD) != WORD
    assert hash(Secret(WORD)) == hash(Secret("other"))
    assert Secret(WORD)
    assert not Secret("")


def test_a_file_is_read_without_white_space(tmp_path):
    """As editors and echo leave it."""
    path = tmp_path / "key"
    path.write_text(f"  {WORD}\r\n\n")
    secret = read_secret(path)
    assert (secret.reveal(), secret.place) == (WORD, str(path))
    path.write_text("correct horse – battery\n")
    assert read_secret(path, words=True).reveal() == "correct horse – battery"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "is empty"),
        (b" \n\t", "is empty"),
        (b"two words sesame", "not one word"),
        ("sesam\u00e9".encode(), "not one word"),
        (b"sesame\x00open", "not one word"),
        (b"sesame\nopen", "not one word"),
        (b"sesame\xff", "not one word"),
        (b"sesame", "16 characters"),
        (b"sesame" * 2000, "too long"),
    ],
)
def test_a_bad_secret_is_refused_and_not_told(tmp_path, text, why):
    """The error names the file and what is wrong, never a letter of it."""
    path = tmp_path / "key"
    path.write_bytes(text)
    with pytest.raises(BadSecret, match=r"not one line|is empty|17 char|too long"):
        read_secret(path, least=17, words=True)
    with pytest.raises(BadSecret, match=why) as caught:
        read_secret(path, least=16)
    assert str(path) in str(caught.value)
    assert "sesam" not in "".join(traceback.format_exception(caught.value))


def test_a_missing_file_is_named(tmp_path):
    """With the reason."""
    with pytest.raises(BadSecret, match="absent: No such file"):
        read_secret(tmp_path / "absent")


def test_a_systemd_credential_is_found(tmp_path, monkeypatch):
    """In the folder that systemd names; without one the reason says what to set."""
    (tmp_path / "abuseipdb").write_text(WORD + "\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert read_secret(None, "abuseipdb").reveal() == WORD
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    with pytest.raises(BadSecret, match="LoadCredential"):
        read_secret(None, "abuseipdb")


def test_one_place_names_it(tmp_path):
    """A file or a credential, not both, not neither, and no way out of the folder."""
    assert not place_faults(tmp_path, "")
    assert not place_faults(None, "abuse.ipdb-1")
    assert "one of both" in place_faults(None, "")
    assert "one of both" in place_faults(tmp_path, "x")
    assert "cannot be the name" in place_faults(None, "../shadow")


def test_a_file_open_to_all_is_told(tmp_path):
    """Readable or writable for others; group is the operator's business."""
    path = tmp_path / "key"
    path.write_text(WORD)
    for mode, open_to_all in ((0o600, False), (0o640, False), (0o644, True), (0o602, True)):
        path.chmod(mode)
        assert bool(exposed(path)) is open_to_all
    assert "chmod o-rwx" in exposed(path)
    assert not exposed(None)
    assert not exposed(tmp_path / "absent")


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("https://api.example.com/v2", ""),
        ("http://127.0.0.1:8080/", ""),
        ("http://[::1]/", ""),
        ("http://localhost/x", ""),
        ("http://api.example.com/", "has to be https: the key is sent there"),
        ("http://localhost.example.com/", "has to be https: the key is sent there"),
        ("https://me:word@api.example.com/", "is not an https URL"),
        ("https://api.example.com/?q", "is not an https URL"),
        ("ftp://api.example.com/", "is not an https URL"),
        ("https:///v2", "is not an https URL"),
        ("https://[::1/", "is not an https URL"),
        ("", "is not an https URL"),
    ],
)
def test_a_key_goes_in_clear_to_this_machine_alone(url, fault):
    """Nor into a URL that holds more than a place."""
    assert api_fault(url) == fault
