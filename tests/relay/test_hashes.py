"""Hashes of passwords: which there are, what they cost, and that only the password fits."""

import base64
import hashlib

import argon2
import pytest

from guard.relay.hashes import hash_password, is_hash, stand_in, verify

# As passlib writes it, for the word "password".
PASSLIB = "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E"


def scrypt(password, cost=8, block=8, lanes=1, salt=b"0123456789"):
    """A hash that costs little."""
    made = hashlib.scrypt(password.encode(), salt=salt, n=1 << cost, r=block, p=lanes, dklen=32)
    text = (base64.b64encode(part).decode().rstrip("=") for part in (salt, made))
    return f"$scrypt$ln={cost},r={block},p={lanes}${'$'.join(text)}"


@pytest.mark.parametrize(
    "hashed",
    [
        hash_password("röd grød"),
        argon2.PasswordHasher(1, 64, 1, type=argon2.Type.I).hash("röd grød"),
        scrypt("röd grød"),
        scrypt("röd grød", lanes=3, salt=b"seventeen octets!"),
    ],
    ids=["argon2id", "argon2i", "scrypt", "scrypt in lanes"],
)
def test_the_password_fits_and_no_other(hashed):
    """Whatever the hash and its parameters."""
    assert is_hash(hashed)
    assert verify(hashed, "röd grød")
    assert not verify(hashed, "rod grod")
    assert not verify(hashed, "")


def test_hashes_of_other_programs_hold():
    """One from the documentation of passlib."""
    assert is_hash(PASSLIB)
    assert verify(PASSLIB, "password")
    assert not verify(PASSLIB, "Password")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "password",
        "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q",
        PASSLIB + "\n",
        PASSLIB.replace("r=8", "r=0"),
        PASSLIB.replace("p=1", "p=0"),
        PASSLIB.replace("ln=16", "ln=0"),
        PASSLIB.replace("ln=16", "ln=19"),
        PASSLIB.replace("ln=16", "ln=99"),
        "$2b$12$" + "a" * 53,
    ],
)
def test_what_is_no_hash(text):
    """Other text, other functions, and what would take more memory than there should be."""
    assert not is_hash(text)


@pytest.mark.parametrize(
    "model",
    [None, scrypt("x", cost=9), PASSLIB, hash_password("x")],
    ids=["none", "scrypt", "passlib", "argon2"],
)
def test_a_stand_in_costs_the_same_and_fits_nothing(model):
    """The parameters are those of the model; the empty password is no way in either."""
    some = stand_in(model)
    assert is_hash(some)
    head = (model or hash_password("")).split("$")[:-2]
    assert some.split("$")[:-2] == head
    assert len(some) == len(model or some)
    if model and "scrypt" in model:
        assert not verify(some, "")


def test_a_broken_hash_of_the_right_shape_fits_nothing():
    """It is no error of the session."""
    assert not verify("$argon2id$v=19$m=8,t=1,p=1$" + "A" * 13 + "$" + "A" * 17, "x")
    assert not verify("$scrypt$ln=1,r=1,p=1$" + "A" * 13 + "$" + "A" * 17, "x")
