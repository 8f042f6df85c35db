"""A backend that hands its users room tokens: POST /token/server for their desktop, POST /token/client for their agent.

Standard library only: a room token with a shared secret is a JWT (RFC 7519) signed with HMAC-SHA256.
"""

import base64
import hashlib
import hmac
import json
import os
import re
import sys
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = os.environ.get("RELAY_SECRET", "")
# Stands for the sessions of your application: from a bearer token to a user.
USERS = json.loads(os.environ.get("SESSIONS") or "{}")
LIFETIME_SECONDS = 15 * 60


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def room_token(key, room, role, subject, lifetime):
    """A room token (PROTOCOL.md, 2), valid for so many seconds."""
    if not (1 <= len(room) <= 128 and 1 <= len(subject) <= 256 and role in ("server", "client")):
        raise ValueError("room, role or subject is not one that the relay takes")
    now = int(time.time())
    claims = {
        "aud": "mcp-rendezvous",
        "room": room,
        "role": role,
        "sub": subject,
        "jti": str(uuid.uuid4()),
        "iat": now,
        "exp": now + lifetime,
    }
    parts = ({"alg": "HS256", "typ": "JWT"}, claims)
    signed = b".".join(base64url(json.dumps(part).encode()) for part in parts)
    signature = hmac.new(key.encode(), signed, hashlib.sha256).digest()
    return (signed + b"." + base64url(signature)).decode()


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        try:
            self.answer(*self.token())
        except Exception as error:  # whatever it is, the caller hears no more than that
            print(repr(error), file=sys.stderr)
            self.answer(500, "see the log")

    def token(self):
        path = re.fullmatch(r"/token/(server|client)", self.path)
        if not path:
            return 404, "POST /token/server or /token/client"
        user = USERS.get(re.sub("^Bearer ", "", self.headers.get("Authorization", "")))
        if user is None:
            return 401, "sign in first"
        role = path.group(1)
        # The backend names the room, not the request: nobody gets a token for the room of somebody
        # else.
        return 200, room_token(KEY, f"user-{user}", role, f"{user}-{role}", LIFETIME_SECONDS)

    def do_GET(self):
        self.answer(404, "POST /token/server or /token/client")

    def answer(self, status, text):
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    if not KEY:
        sys.exit("Set RELAY_SECRET to the relay's key.")
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT") or 3000)), Handler)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
