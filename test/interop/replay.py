"""Replays the transcripts of the wire (protocol/transcripts), from PROTOCOL.md and the JSON Schemas alone.

Reads one transcript per line on stdin, and answers each with a line on stdout: {"ok": true} or {"ok": false, "why": …}.
The first argument is the folder of the schemas. The cryptography is that of document_relayed.py. Paragraphs are
PROTOCOL.md's.
"""

import json
import re
import sys
import traceback
from pathlib import Path

from document_relayed import Noise, base64url, bytes_of_secret, fields, from_base64url, mac, prologue_of, session_of

HELLO, AUTH, DATA, ACK, PING, PONG, CLOSE = range(1, 8)
KINDS = {"ping": PING, "pong": PONG}
SCHEMAS = {file.stem: json.loads(file.read_text()) for file in Path(sys.argv[1]).glob("*.json")}
TYPES = {"string": str, "object": dict, "array": list, "boolean": bool, "null": type(None)}
TYPES |= {"number": (int, float), "integer": int}


def same(got, wanted, what):
    if got != wanted:
        raise ValueError(f"{what}: {got!r} instead of {wanted!r}")


def is_a(name, value):
    return isinstance(value, TYPES[name]) and (name == "boolean" or not isinstance(value, bool))


def matches(schema, value):
    """As much of JSON Schema as the schemas use."""
    if "oneOf" in schema:
        return sum(matches(one, value) for one in schema["oneOf"]) == 1
    if "anyOf" in schema:
        return any(matches(one, value) for one in schema["anyOf"])
    types = schema.get("type", list(TYPES))
    if not any(is_a(name, value) for name in ([types] if isinstance(types, str) else types)):
        return False
    if "const" in schema and value != schema["const"] or "enum" in schema and value not in schema["enum"]:
        return False
    if isinstance(value, str):
        size = len(value)
        if not schema.get("minLength", 0) <= size <= schema.get("maxLength", size):
            return False
        return "pattern" not in schema or re.search(schema["pattern"], value) is not None
    if isinstance(value, dict):
        named = schema.get("properties", {})
        rest = schema.get("additionalProperties", {})
        return all(name in value for name in schema.get("required", [])) and all(
            matches(named.get(name, rest), member) for name, member in value.items()
        )
    if isinstance(value, list):
        if len(value) > schema.get("maxItems", len(value)):
            return False
        return all(matches(schema.get("items", {}), item) for item in value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if "exclusiveMinimum" in schema and value <= schema["exclusiveMinimum"]:
            return False
        return schema.get("minimum", value) <= value <= schema.get("maximum", value)
    return True


def valid(name, value):
    if not matches(SCHEMAS[name], value):
        raise ValueError(f"not {name}: {json.dumps(value)}")
    return value


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def write(frame):
    """§7: the bytes of a frame."""
    kind = frame["type"]
    if kind == "hello":
        return bytes([HELLO]) + compact(valid("hello", frame["hello"]))
    if kind == "auth":
        return bytes([AUTH]) + bytes.fromhex(frame["proof"])
    if kind == "data":
        meta = compact(valid("message-meta", frame["meta"])) if "meta" in frame else None
        flags = (1 if frame["end"] else 0) | (0 if meta is None else 2)
        head = bytes([DATA, flags]) + frame["seq"].to_bytes(8, "big") + frame["ack"].to_bytes(8, "big")
        return head + (b"" if meta is None else len(meta).to_bytes(4, "big") + meta) + bytes.fromhex(frame["part"])
    if kind == "ack":
        return bytes([ACK]) + frame["ack"].to_bytes(8, "big")
    if kind == "close":
        return bytes([CLOSE, frame["code"]]) + frame["reason"].encode()
    return bytes([KINDS[kind]]) + frame["id"].to_bytes(4, "big")


def read(data):
    """§7: a frame by value."""
    kind, rest = data[0], data[1:]
    if kind == HELLO:
        return {"type": "hello", "hello": valid("hello", json.loads(rest))}
    if kind == AUTH:
        return {"type": "auth", "proof": rest.hex()}
    if kind == DATA:
        flags, part, meta = rest[0], rest[17:], {}
        if flags & ~3:
            raise ValueError("flags that are not known")
        if flags & 2:
            end = 4 + int.from_bytes(part[:4], "big")
            meta, part = {"meta": json.loads(part[4:end])}, part[end:]
        numbers = {"seq": int.from_bytes(rest[1:9], "big"), "ack": int.from_bytes(rest[9:17], "big")}
        return {"type": "data", **numbers, "end": bool(flags & 1), **meta, "part": part.hex()}
    if kind == ACK:
        return {"type": "ack", "ack": int.from_bytes(rest, "big")}
    if kind == CLOSE:
        return {"type": "close", "code": rest[0], "reason": rest[1:].decode()}
    return {"type": {PING: "ping", PONG: "pong"}[kind], "id": int.from_bytes(rest, "big")}


class Conversation:
    """The messages of both directions; each has its own numbers, from `received` + 1 on."""

    def __init__(self, received):
        self.received, self.numbers, self.texts, self.metas, self.said = received, {}, {}, {}, []

    def take(self, sender, frame):
        if frame["type"] != "data":
            return
        expected = self.numbers.get(sender, self.received) + 1
        same(frame["seq"], expected, "seq")
        self.numbers[sender] = expected
        text = self.texts.pop(sender, b"") + bytes.fromhex(frame["part"])
        if "meta" in frame:
            self.metas[sender] = {"meta": frame["meta"]}
        if frame["end"]:
            self.said.append({"from": sender, "message": json.loads(text), **self.metas.pop(sender, {})})
        else:
            self.texts[sender] = text


def frame_of(step, data):
    frame = read(data)
    same(frame, step["frame"], "frame")
    same(write(frame), data, "bytes")
    return frame


def replay_channel(given, derived, steps):
    secret = bytes_of_secret(given["secret"]) if given["secret"] else b""
    resumes = given["nonces"] != given["firstNonces"]
    roles, subjects = given["roles"], given["subjects"]
    introduced = [roles[0], subjects[0], roles[1], subjects[1]]
    context = fields("relay", given["room"], given["iss"], given["iss"], *introduced)
    binding = fields("dtls", *given["fingerprints"])
    first = b"".join(from_base64url(nonce) for nonce in given["firstNonces"])
    session_key = mac(first, b"mcp-rendezvous session 2" + secret)
    key = session_key if resumes else secret
    nonces = [from_base64url(nonce) for nonce in given["nonces"]]
    ends = ["offerer", "answerer"]
    proofs = [
        mac(key, fields("mcp-rendezvous auth 2", end, *nonces, given["session"], context, binding)).hex()
        for end in (ends if key else [])
    ]
    conversation, seen = None, []
    for step in steps:
        at = ends.index(step["from"])
        frame = frame_of(step, bytes.fromhex(step["hex"]))
        seen.append((frame["type"], at))
        if frame["type"] == "hello":
            same(frame["hello"]["nonce"], given["nonces"][at], "nonce")
            same(frame["hello"].get("session"), given["session"] if at == 0 or resumes else None, "session")
            conversation = Conversation(frame["hello"]["received"])
        elif frame["type"] == "auth":
            same(frame["proof"], proofs[at], "proof")
        else:
            conversation.take(step["from"], frame)
    begins = [("hello", 0), ("hello", 1)] + ([("auth", 0), ("auth", 1)] if key else [])
    same(seen[: len(begins)], begins, "the order of the handshake")
    names = {"context": context.hex(), "binding": binding.hex(), "proofs": proofs, "sessionKey": session_key.hex()}
    same({**names, "messages": conversation.said}, derived, "derived")


def text_of(step):
    """§3, §4: a text frame, and §6 the data of a signal in it."""
    frame = valid("frame-from-relay" if step["from"] == "relay" else "frame-to-relay", step["text"])
    data = frame.get("data") if frame["type"] == "signal" else frame.get("signal", {}).get("data")
    if data is not None:
        valid("peer-data", data)
    return frame


def replay_relayed(given, derived, steps):
    names = [given["iss"], given["room"], given["subjects"][0], given["session"], given["gen"]]
    prologue, psk = prologue_of(*names), bytes.fromhex(given["psk"]) or None
    client, server = [Noise(prologue, psk, bytes.fromhex(key)) for key in given["ephemerals"]]
    noise = [client.write()]
    same(server.read(noise[0]), b"", "the payload of the first message")
    noise.append(server.write(given["payload"].encode()))
    same(client.read(noise[1]).decode(), given["payload"], "the payload of the second message")
    said = valid("path-answer", json.loads(given["payload"]))
    same(said["subject"], given["subjects"][1], "subject")
    first, second, exported = client.split()
    sealing = {"client": first, "server": second}
    opening_first, opening_second, _ = server.split()
    opening = {"client": opening_first, "server": opening_second}
    name, key, path_key = session_of(client.h, exported)
    conversation, pieces, messages, opaque = Conversation(said["hello"]["received"]), {}, [], b""
    for step in steps:
        if "text" in step:
            if step["from"] != "relay":
                messages.append(from_base64url(text_of(step)["data"]["body"]["noise"]).hex())
            else:
                text_of(step)
            continue
        data, value = bytes.fromhex(step["hex"]), step["relayed"]
        end = 2 + data[1]
        same((data[0], data[2:end].decode()), (1, value["peer"]), "the address")
        same(int.from_bytes(data[end : end + 4], "big"), value["gen"], "gen")
        plain, sealed = bytes.fromhex(value["plain"]), data[end + 4 :]
        if step["from"] != "relay":
            opaque = data[end:]
            same(sealed, sealing[step["from"]].seal(plain) if plain else b"", "sealed")
            continue
        sender = "server" if step["to"] == "client" else "client"
        same(value["peer"], given["ids"][sender], "the sender")
        same(data[end:], opaque, "what the relay passes on")
        same(opening[sender].open(sealed) if sealed else b"", plain, "opened")
        if not plain or plain[0] == 2:
            continue
        pieces[sender] = pieces.get(sender, b"") + plain[1:]
        if plain[0] == 0:
            conversation.take(sender, frame_of(value, pieces.pop(sender)))
    same(messages, [message.hex() for message in noise], "the messages of the handshake")
    computed = {"prologue": prologue.hex(), "noise": messages, "hash": client.h.hex(), "exported": exported.hex()}
    begun = {"session": name, "sessionKey": key.hex(), "pathKey": path_key.hex(), "messages": conversation.said}
    same({**computed, **begun}, derived, "derived")


def replay_signaling(given, derived, steps):
    for name, token in derived["tokens"].items():
        signed, signature = token.rsplit(".", 1)
        same(signature, base64url(mac(given["key"].encode(), signed.encode())), "the signature of a token")
        same(json.loads(from_base64url(signed.split(".")[1])), valid("room-claims", derived["claims"][name]), "claims")
    # §2: HKDF-SHA-256 (RFC 5869) of 32 bytes, without salt.
    extracted = mac(bytes(32), bytes_of_secret(given["root"]))
    own = mac(extracted, derived["claims"]["client"]["jti"].encode() + b"\1")
    same(bytes_of_secret(derived["secret"]), own, "the secret of the client")
    if not derived["invitation"].startswith("mcpr1"):
        raise ValueError("not an invitation")
    invitation = json.loads(from_base64url(derived["invitation"][5:]))
    same((invitation["token"], invitation["secret"]), (derived["tokens"]["client"], derived["secret"]), "invitation")
    joined, known = set(), set(derived["tokens"].values())
    for step in steps:
        peer = step["to"] if step["from"] == "relay" else step["from"]
        if "close" in step:
            joined.remove(peer)
            continue
        frame = text_of(step)
        if frame["type"] == "join":
            joined.add(peer)
        if peer not in joined:
            raise ValueError(f"a frame of or to the {peer}, which has not joined")
        if frame.get("token", derived["tokens"]["client"]) not in known:
            raise ValueError("a token that nobody signed")
    same(joined, set(), "open sockets")


REPLAYS = {"signaling": replay_signaling, "channel": replay_channel, "relayed": replay_relayed}

for line in sys.stdin:
    transcript = json.loads(line)
    try:
        same(transcript["format"], 1, "format")
        REPLAYS[transcript["kind"]](transcript["given"], transcript["derived"], transcript["steps"])
        answer = {"ok": True}
    except Exception:
        answer = {"ok": False, "why": traceback.format_exc(limit=-2)}
    print(json.dumps(answer), flush=True)
