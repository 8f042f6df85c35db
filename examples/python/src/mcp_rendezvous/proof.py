"""What both ends of a session have to come to alike: the end-to-end secret, the bytes of a proof, and HELLO (PROTOCOL.md, 7)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import zlib
from typing import Any

HELLO = 1


class SessionError(Exception):
    """What ended a session, or kept it from beginning. `code` is stable, such as `secret_mismatch` or `session_lost`."""

    #: As of a SignalingError: it concerns one connection, or one other peer.
    final = False

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.code, self.message = code, message


def violation(what: str) -> SessionError:
    """The other side does not speak framed mode as it is written."""
    return SessionError("bad_channel", f"The other side broke the protocol: {what}.")


def to_base64url(data: bytes) -> str:
    """Without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_base64url(text: str) -> bytes:
    """Raises ValueError for anything that to_base64url() does not write."""
    data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if to_base64url(data) != text:
        raise ValueError("not base64url")
    return data


def key_of_secret(secret: str) -> bytes:
    """The 32 bytes of an end-to-end secret, as `mcp-rendezvous secret` makes one. Raises ValueError."""
    form = re.fullmatch(r"(mcps1([\w-]{43}))([\w-]{6})", secret, re.ASCII)
    key = from_base64url(form[2]) if form is not None else b""
    checked = form is not None and from_base64url(form[3]) == zlib.crc32(form[1].encode()).to_bytes(4, "big")
    if not checked or len(set(key)) < 8:
        raise ValueError("This is not an end-to-end secret: mcps1 and 49 more characters. Make one with `mcp-rendezvous secret`.")
    return key


def fields(*parts: str | bytes) -> bytes:
    """Each part behind its length, so that no two lists of parts have the same bytes."""
    encoded = [part.encode() if isinstance(part, str) else part for part in parts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)


def mac(key: bytes, data: bytes) -> bytes:
    """HMAC-SHA-256."""
    return hmac.new(key, data, hashlib.sha256).digest()


def parse_hello(frame: bytes) -> dict[str, Any]:
    """The JSON object of a HELLO. Raises SessionError."""
    try:
        hello = json.loads(frame[1:])
        session, received, largest = hello.get("session", "x" * 22), hello["received"], hello["maxMessageBytes"]
        numbers = all(type(one) is int and 0 <= one < 2**53 for one in (received, largest))
        named = re.fullmatch(r"[\w-]{22,64}", session, re.ASCII) is not None
        if frame[0] != HELLO or not numbers or not named or largest == 0 or hello["auth"] not in ("secret", "none"):
            raise ValueError
        if len(from_base64url(hello["nonce"])) != 32:
            raise ValueError
        return dict(hello)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise violation("its first frame is not a HELLO") from None
