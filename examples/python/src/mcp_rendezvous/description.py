"""Session descriptions, read as PROTOCOL.md, 6 has it: one meaning, whoever reads them."""

from __future__ import annotations

import re
from dataclasses import dataclass

#: RFC 8841, 6: what counts where the description does not say.
DEFAULT_MESSAGE_SIZE = 65_536
#: Attributes that readers take the first or the last of, and their forms.
SINGLE = {
    "group": r"BUNDLE( [!-~]+)*",
    "ice-pwd": r"[A-Za-z\d+/]{22,256}",
    "ice-ufrag": r"[A-Za-z\d+/]{4,256}",
    "max-message-size": r"\d{1,15}",
    "mcp-framed": r"[!-~]+( [!-~]+)*",
    "mid": r"[!-~]+",
    "sctp-port": r"\d{1,5}",
    "setup": r"active|passive|actpass|holdconn",
    "tls-id": r"[!-~]+",
}
SINGLE_IN_ALL = ("group", "mcp-framed")
OF_DATA_CHANNEL = ("max-message-size", "sctp-port")
SECTION = re.compile(r"m=([a-z]+) \d+(?:/\d+)? [!-~]+(?: [!-~]+)+")
DATA_CHANNEL = re.compile(r"m=application [1-9]\d* \S*DTLS/SCTP ")
ATTRIBUTE = re.compile(r"a=([!#-'*+\-.\dA-Z^-~]+)(?::(.*))?", re.ASCII)
FINGERPRINT = re.compile(r"a=fingerprint:(sha-(256|384|512)) ([\dA-F]{2}(?::[\dA-F]{2})*)", re.ASCII | re.IGNORECASE)


class DescriptionError(Exception):
    """A description that PROTOCOL.md, 6 has refused."""


@dataclass(frozen=True)
class Description:
    """`sdp` names one certificate, in one form; engines get this text and not the one that came."""

    sdp: str
    #: As in a proof: `sha-256 AB:CD:…`.
    fingerprint: str
    #: The largest message that this side takes; 0 is any.
    max_message_size: int
    #: The words of `a=mcp-framed`; none in plain mode.
    framing: tuple[str, ...]

    @property
    def framed(self) -> bool:
        """Whether this side speaks framed mode, in the version that there is."""
        return "1" in self.framing

    @property
    def resume(self) -> str | None:
        """The session that the connection is for."""
        return next((word.removeprefix("resume=") for word in self.framing if word.startswith("resume=")), None)


def parse_description(text: str) -> Description:
    """Reads a description strictly. Raises DescriptionError."""
    session: dict[str, str] = {}
    everywhere: dict[str, str] = {}
    section, channel = session, None
    mids: set[str] = set()
    kept: list[str] = []
    for at, line in enumerate(re.sub(r"\r?\n\Z", "", text).replace("\r\n", "\n").split("\n")):

        def require(condition: bool, problem: str, at: int = at) -> None:
            if not condition:
                raise DescriptionError(f"A session description is malformed: line {at + 1} {problem}.")

        require(re.fullmatch("[a-z]=[ -~]+", line) is not None, "is not of the form type=value in printable ASCII")
        require(at > 0 or line == "v=0", "is not v=0")
        if line.startswith("m="):
            kind = SECTION.fullmatch(line)
            require(kind is not None, "is not a valid m= line")
            section = {}
            if kind is not None and kind[1] == "application":
                require(channel is None and DATA_CHANNEL.match(line) is not None, "is not the only section of a data channel")
                channel = section
        digest = FINGERPRINT.fullmatch(line)
        attribute = ATTRIBUTE.fullmatch(line)
        if "fingerprint" in line.lower():
            complete = digest is not None and len(digest[3]) == 3 * int(digest[2]) // 8 - 1
            require(complete, "is not a valid a=fingerprint: with SHA-256, SHA-384 or SHA-512")
        require(attribute is not None or not line.startswith("a="), "has no attribute name")
        if digest is not None:
            name, value = digest[1].lower(), digest[3].upper()
        elif attribute is not None and attribute[1].lower() in SINGLE:
            name, value = attribute[1].lower(), attribute[2] or ""
            valid = name == attribute[1] and re.fullmatch(SINGLE[name], value, re.ASCII) is not None
            require(valid, f"is not a valid a={name}")
        else:
            kept.append(line)
            continue
        before = everywhere if digest is not None or name in SINGLE_IN_ALL else session
        require(name not in section and not (name in SINGLE_IN_ALL and name in everywhere), "repeats a line that may occur once")
        require(before.get(name, value) == value, "contradicts an earlier line")
        require(section is channel or name not in OF_DATA_CHANNEL, "belongs to the section of the data channel")
        require(name != "mid" or value not in mids, "repeats the name of a section")
        if name == "mid":
            mids.add(value)
        section[name] = everywhere[name] = value
        if digest is None:
            kept.append(line)
        elif name == "sha-256":
            # An engine that reads several may check any one of them, so that it gets one.
            kept.append(f"a=fingerprint:{name} {value}")
    if channel is None:
        raise DescriptionError("A session description has no data channel.")
    said = session | channel
    if "sha-256" not in said or "setup" not in said:
        raise DescriptionError("A session description has no SHA-256 fingerprint or no a=setup for its data channel.")
    return Description(
        "".join(f"{line}\r\n" for line in kept),
        f"sha-256 {said['sha-256']}",
        int(said.get("max-message-size", DEFAULT_MESSAGE_SIZE)),
        tuple(everywhere.get("mcp-framed", "").split()),
    )
