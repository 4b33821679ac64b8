"""Hashes of passwords: argon2 (RFC 9106) in all its kinds, and scrypt (RFC 7914).

Both are written as the password hashing competition has it, `$argon2id$v=19$m=19456,t=2,p=1$...`
and `$scrypt$ln=15,r=8,p=1$...`, base64 without padding. New ones are argon2id with the parameters
that OWASP names as the least. Pure; a hash that asks for more than a server can spare is none.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import re
from base64 import b64decode

import argon2

_HASHER = argon2.PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
_ARGON2 = re.compile(
    r"\$argon2(id|i|d)\$v=\d+\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]{11,}\$[A-Za-z0-9+/]{16,}", re.ASCII
)
_SCRYPT = re.compile(
    r"\$scrypt\$ln=([1-9]\d?),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{11,})\$([A-Za-z0-9+/]{16,})",
    re.ASCII,
)
_MOST = 256 * 1024 * 1024  # bytes that one attempt may take, of which two run at a time


def hash_password(password: str) -> str:
    """What a credentials file holds for `password`; new salt, new text each time."""
    return _HASHER.hash(password)


def is_hash(text: str) -> bool:
    """Whether `text` is a hash that `verify` can check."""
    if _ARGON2.fullmatch(text):
        return True
    found = _SCRYPT.fullmatch(text)
    if not found:
        return False
    cost, block, lanes = (int(found[at]) for at in (1, 2, 3))
    return 0 < _memory(cost, block, lanes) <= _MOST and 0 < block * lanes < 1 << 30


def verify(hashed: str, password: str) -> bool:
    """Whether `hashed` is the hash of `password`. Takes the same time for a wrong one."""
    if scrypt := _SCRYPT.fullmatch(hashed):
        return _scrypt(scrypt, password)
    try:
        return _HASHER.verify(hashed, password)
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False


def stand_in(model: str | None) -> str:
    """A hash that nobody knows the password of, as costly to check as `model`."""
    if model is None:
        return hash_password("")
    if scrypt := _SCRYPT.fullmatch(model):
        return model[: scrypt.start(4)] + "A" * len(scrypt[4]) + "$" + "A" * len(scrypt[5])
    some = argon2.extract_parameters(model)
    return argon2.PasswordHasher(
        some.time_cost, some.memory_cost, some.parallelism, some.hash_len, some.salt_len
    ).hash("")


def _memory(cost: int, block: int, lanes: int) -> int:
    """Bytes that scrypt takes (RFC 7914, section 6)."""
    return 128 * block * ((1 << cost) + lanes)


def _scrypt(found: re.Match[str], password: str) -> bool:
    cost, block, lanes = (int(found[at]) for at in (1, 2, 3))
    try:
        salt, wanted = (b64decode(found[at] + "=" * (-len(found[at]) % 4)) for at in (4, 5))
        made = hashlib.scrypt(
            password.encode(),
            salt=salt,
            n=1 << cost,
            r=block,
            p=lanes,
            maxmem=2 * _MOST,
            dklen=len(wanted),
        )
    except (ValueError, binascii.Error):
        return False
    return hmac.compare_digest(made, wanted)
