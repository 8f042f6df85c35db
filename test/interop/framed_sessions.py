"""Two framed sessions of examples/python with each other, over connections that are cut, and one that gets hostile frames.

For the tests. Usage: framed_sessions.py SEEDS   Prints one JSON object: what came of every seed.
"""

import asyncio
import json
import os
import random
import sys
from collections import deque
from types import SimpleNamespace

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "examples", "python", "src"))
from mcp_rendezvous.framed import FramedSession  # noqa: E402
from mcp_rendezvous.proof import SessionError, key_of_secret  # noqa: E402

SECRET = key_of_secret("mcps1AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA1y9zvg")


class Wire:
    """Stands for a Connection: what is sent is in the other end's inbox a moment later, unless the wire was cut by then."""

    def __init__(self, offerer, max_message, between):
        self.offerer, self.max_message, self.between, self.full = offerer, max_message, between, False
        self.opened, self.closed, self.writable = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.inbox = asyncio.Queue()
        self.under_way = deque()
        self.other = None
        prints = [SimpleNamespace(fingerprint=f"sha-256 {one}") for one in ("AB:AB", "CD:CD")]
        self.local, self.remote = prints if offerer else prints[::-1]

    def send(self, message):
        self.under_way.append(message)
        asyncio.get_running_loop().call_later(self.between, self.arrive)

    def arrive(self):
        message = self.under_way.popleft()
        if not self.closed.is_set():
            self.other.inbox.put_nowait(message)

    async def close(self, after=0):
        self.cut()

    def cut(self):
        for end in (self, self.other):
            if not end.closed.is_set():
                end.closed.set()
                end.writable.set()
                end.inbox.put_nowait(None)


def wires(chance, largest=262_144):
    ends = [Wire(offerer, largest, chance.choice([0, 0.001])) for offerer in (True, False)]
    ends[0].other, ends[1].other = ends[1], ends[0]
    return ends


async def read(session, got):
    while (one := await session.messages.get()) is not None:
        got.append(one[1])
        session.passed(one[0])


async def attach(sessions, chance, largest=262_144):
    ends = wires(chance, largest)
    await asyncio.gather(*(session.attach(end) for session, end in zip(sessions, ends)), return_exceptions=True)
    return ends


async def cut_often(seed):
    """Every message arrives once and in order, whatever becomes of the connections."""
    chance = random.Random(seed)
    secret = chance.choice([SECRET, None])
    sessions = [FramedSession(secret, b"context", True) for _ in range(2)]
    sent = [[os.urandom(chance.choice([1, 500, 5_000, 50_000])) for _ in range(30)] for _ in range(2)]
    got = [[], []]
    largest = chance.choice([1_024, 4_096, 262_144])
    ends = await attach(sessions, chance, largest)
    reading = [asyncio.create_task(read(session, one)) for session, one in zip(sessions, got)]

    async def write(session, messages):
        for message in messages:
            await session.send(message)
            await asyncio.sleep(0.001 * chance.random())

    writing = [asyncio.create_task(write(session, messages)) for session, messages in zip(sessions, sent)]
    cuts = 0
    while cuts < 8 or any(session.lost.is_set() for session in sessions):
        await asyncio.sleep(0.01 * chance.random())
        if chance.random() < 0.5:
            ends[0].cut()
            await asyncio.sleep(0)
        # Often while the one before still works; then there may be more frames in it.
        ends = await attach(sessions, chance, largest)
        cuts += 1
    await asyncio.gather(*writing)
    # Whoever says CLOSE takes nothing any more.
    async with asyncio.timeout(20):
        while sum(map(len, got)) < 60:
            await asyncio.sleep(0.01)
    await asyncio.gather(*(session.finish(20) for session in sessions))
    await asyncio.gather(*(session.linger() for session in sessions))
    await asyncio.gather(*reading)
    errors = [str(session.error) for session in sessions if session.error is not None]
    return {"arrived": got[0] == sent[1] and got[1] == sent[0], "errors": errors}


async def hostile(seed):
    """Frames that nobody should send end the session with an error of its own, or mean nothing."""
    chance = random.Random(seed)
    sessions = [FramedSession(None, b"", True) for _ in range(2)]
    ends = await attach(sessions, chance)
    got = []
    reading = asyncio.create_task(read(sessions[0], got))
    frames = [bytes([3, 1]) + (n + 1).to_bytes(8, "big") + bytes(8) + b"{}" for n in range(3)]
    for frame in frames + [bytes([5]) + bytes(4), bytes([4]) + bytes(8)]:
        odd = bytearray(frame)
        for _ in range(chance.randrange(3)):
            odd[chance.randrange(len(odd))] = chance.choice([0, 1, 2, 7, 255])
        ends[0].inbox.put_nowait(bytes(odd[: chance.choice([len(odd), len(odd), chance.randrange(len(odd) + 1)])]))
    ends[0].inbox.put_nowait(chance.choice(["text", b"", bytes([1]), bytes([2]) + bytes(32), bytes([200]), os.urandom(20)]))
    await asyncio.sleep(0.01)
    error = sessions[0].error
    for session in sessions:
        session.end()
    await reading
    await asyncio.gather(*(session.finish(5) for session in sessions))
    await asyncio.gather(*(session.linger() for session in sessions))
    return {"code": error.code if error is not None else None}


async def strangers(seed):
    """An invalid HELLO, another secret, and another session: the one that stands goes on."""
    sessions = [FramedSession(SECRET, b"context", True) for _ in range(2)]
    chance = random.Random(seed)
    await attach(sessions, chance)
    other = FramedSession(chance.choice([SECRET, None, bytes(range(32))]), chance.choice([b"context", b"another"]), True)
    other.name = chance.choice([None, sessions[0].name])
    other._key = chance.choice([None, bytes(32)]) if other.name is None else bytes(32)
    ends = wires(chance)
    outcomes = await asyncio.gather(sessions[0].attach(ends[0]), other.attach(ends[1]), return_exceptions=True)
    await sessions[0].send(b"{}")
    arrived = await asyncio.wait_for(sessions[1].messages.get(), 20)
    await asyncio.gather(*(session.finish(5) for session in (*sessions, other)))
    await asyncio.gather(*(session.linger() for session in (*sessions, other)))
    return {"refused": isinstance(outcomes[0], SessionError), "arrived": arrived == (1, b"{}")}


async def main(seeds):
    unhandled = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: unhandled.append(str(context)))
    results = {run.__name__: [await run(seed) for seed in range(seeds)] for run in (cut_often, hostile, strangers)}
    print(json.dumps({**results, "unhandled": unhandled}))


asyncio.run(main(int(sys.argv[1])))
