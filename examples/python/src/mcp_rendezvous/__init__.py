"""MCP over WebRTC through an mcp-rendezvous relay."""

from .invitation import Invitation, read_invitation
from .proof import SessionError
from .relay_signaling import RelaySignaling, SignalingError
from .transport import webrtc_client_transport, webrtc_server_transport

__all__ = [
    "Invitation",
    "RelaySignaling",
    "SessionError",
    "SignalingError",
    "read_invitation",
    "webrtc_client_transport",
    "webrtc_server_transport",
]
