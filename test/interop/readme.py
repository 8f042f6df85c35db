"""An example of the README of mcp-webrtc, as the installed package has it. For the tests.

Usage: readme.py server|client --tcp PORT | --relay URL   (its token in TOKEN)

The signaling is what a test says; every other line is the README's. Prints one JSON object a line: what the example prints, and
its end.
"""

import argparse
import ast
import asyncio
import builtins
import json
import os
import re
import sys
import textwrap
from importlib.metadata import metadata

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "examples", "python", "src"))
from mcp_rendezvous import RelaySignaling  # noqa: E402

WRITTEN = 'TcpSocketSignaling("localhost", 8000)'


def say(**what):
    builtins.print(json.dumps(what), flush=True)


def example(role, signaling):
    """The code of that role's block, with this signaling."""
    blocks = re.findall("```python\n(.*?)```", metadata("mcp-webrtc").get_payload(), re.DOTALL)
    [block] = [one for one in blocks if f"webrtc_{role}_transport" in one]
    assert block.count(WRITTEN) == 1, block
    return textwrap.dedent(block).replace(WRITTEN, signaling)


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["server", "client"])
    parser.add_argument("--tcp", type=int)
    parser.add_argument("--relay")
    args = parser.parse_args()
    signaling = WRITTEN.replace("8000", str(args.tcp)) if args.tcp else "RelaySignaling(relay, token)"
    names = {"RelaySignaling": RelaySignaling, "relay": args.relay, "token": os.environ["TOKEN"]}
    names["print"] = lambda *said: say(event="printed", text=" ".join(map(str, said)))
    # As the prompt of `python -m asyncio` takes it: with await at the top.
    await eval(compile(example(args.role, signaling), "README", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
    say(event="closed")


try:
    asyncio.run(main())
except BaseException as error:
    # A task group wraps what went wrong.
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    say(event="failed", error=type(error).__name__, message=str(error))
    sys.exit(1)
