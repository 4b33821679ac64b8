"""What a webhook is signed with, so that its receiver knows who wrote it and when. Pure.

    X-Guard-Timestamp: 1757675281
    X-Guard-Signature: sha256=HMAC-SHA256(secret, "1757675281." + body), hexadecimal
    X-Guard-Id: what stays the same when it is sent again

The timestamp is that of this attempt, and signed with the body: a receiver that refuses old ones
cannot be played an old message.
"""

from __future__ import annotations

import hmac

ID = "X-Guard-Id"
TIMESTAMP = "X-Guard-Timestamp"
SIGNATURE = "X-Guard-Signature"


def headers(id_: str, body: bytes, secret: bytes, now: float) -> dict[str, str]:
    """The headers of one attempt; without a secret there is no signature."""
    stamp = str(int(now))
    found = {ID: id_, TIMESTAMP: stamp}
    if secret:
        signed = hmac.new(secret, stamp.encode() + b"." + body, "sha256").hexdigest()
        found[SIGNATURE] = f"sha256={signed}"
    return found
