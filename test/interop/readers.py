"""What examples/python makes of texts that come from elsewhere. For the tests.

Reads {reader: [text, …]} in JSON on stdin and writes the same with what each text was read as, or null where it was refused.
"""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "examples", "python", "src"))
from mcp_rendezvous import read_invitation  # noqa: E402
from mcp_rendezvous.description import DescriptionError, parse_description  # noqa: E402
from mcp_rendezvous.proof import SessionError, key_of_secret, parse_hello  # noqa: E402


def description(text):
    read = parse_description(text)
    return {"sdp": read.sdp, "fingerprint": read.fingerprint, "resume": read.resume, "framed": read.framed}


def invitation(text):
    read = read_invitation(text)
    return {"relay": read.relay, "room": read.room, "token": read.token, "secret": read.secret, "name": read.name}


READERS = {
    "description": description,
    "secret": lambda text: key_of_secret(text).hex(),
    "invitation": invitation,
    "hello": lambda text: parse_hello(b"\1" + text.encode())["nonce"],
}


def outcome(reader, text):
    try:
        return reader(text)
    except (DescriptionError, SessionError, ValueError):
        return None


texts = json.load(sys.stdin)
json.dump({name: [outcome(READERS[name], text) for text in texts[name]] for name in texts}, sys.stdout)
