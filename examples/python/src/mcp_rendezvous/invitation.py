"""Invitations: all that one peer needs, as one text that people copy (PROTOCOL.md, 2)."""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from .proof import from_base64url, key_of_secret

PREFIX = "mcpr1"
#: The longest text that is read, and what may be in it.
LONGEST, LONGEST_RELAY, LONGEST_ROOM, LONGEST_NAME = 32_768, 2_048, 128, 64
#: Control characters, halves of surrogate pairs, and what turns the direction of text.
UNFIT = re.compile("[\0-\x1f\x7f-\x9f\ud800-\udfff\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Invitation:
    """`relay` and `token` are for RelaySignaling, `secret` is for a transport. Anybody may have written `relay`, `room` and `name`:
    show them first.
    """

    relay: str
    token: str
    secret: str
    room: str
    name: str | None = None


def read_invitation(text: str) -> Invitation:
    """Reads a client's invitation, or a link to a page of the relay that has it behind `#`. The token is for the relay to verify.

    Raises ValueError: it is not complete, or leads over a public network without TLS.
    """
    text = re.sub(r"\s+", "", text)
    if re.match("https?:", text, re.IGNORECASE):
        text = text.partition("#")[2]
    if len(text) > LONGEST or re.match(PREFIX + r"\D", text) is None:
        raise ValueError(f"This is not an invitation that can be read: it is {PREFIX} and what follows, or a link that ends so.")
    try:
        said = json.loads(from_base64url(text[len(PREFIX) :]))
        claims = json.loads(from_base64url(said["token"].split(".")[1]))
        if said["room"] != claims["room"] or claims["role"] != "client" or not claims["jti"]:
            raise ValueError
        name = said.get("name")
        if not _fits(said["room"], LONGEST_ROOM) or (name is not None and not _fits(name, LONGEST_NAME)):
            raise ValueError
        key_of_secret(said["secret"])
        relay = said["relay"].rstrip("/")
        url = urlsplit(relay)
        valid = url.scheme in ("wss", "https", "ws", "http") and url.hostname and len(relay) <= LONGEST_RELAY
        if not valid or any(sign in relay for sign in "@?#"):
            raise ValueError
    except (ValueError, LookupError, AttributeError, TypeError, RecursionError):
        raise ValueError("The invitation is not complete, or not a client's. Copy all of it, or ask for a new one.") from None
    if url.scheme in ("ws", "http") and not _private(url.hostname or ""):
        raise ValueError("The invitation leads to a relay without TLS, where others on the way could read the token.")
    return Invitation(relay, said["token"], said["secret"], said["room"], name)


def _fits(text: Any, most: int) -> bool:
    return isinstance(text, str) and 0 < len(text) <= most and UNFIT.search(text) is None


def _private(host: str) -> bool:
    """Whether only this machine or its own network can be meant."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    networks = ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "::1/128", "fc00::/7", "fe80::/10")
    return any(address in ipaddress.ip_network(one) for one in networks)
