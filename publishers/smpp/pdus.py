"""PDUs of SMPP 3.4 (smpp.org, issue 1.2, chapter 5) as values.

Names, field orders and writing are smpplib's. Reading is done here over smpplib's own tables, because its parser
trusts the peer: a message id without its closing NUL, an error reply without a body or an unknown optional
parameter, all of which real SMSCs send, come out of it wrong or as exceptions of five kinds.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Literal

from smpplib import consts
from smpplib.command import factory
from smpplib.command_codes import commands
from smpplib.ptypes import ostr

HEADER = 16
LONGEST = 80_000
"""Octets of the longest PDU that is read: a message_payload of 64 KiB and its fields."""

TAGS: Mapping[str, int] = MappingProxyType(dict(consts.OPTIONAL_PARAMS))
"""Optional parameters: name → tag (5.3.2)."""

_RESPONSE = 0x80000000
_NAMES = {code: name for name, code in commands.items()}
_FORMATS = {1: ">B", 2: ">H", 4: ">L"}


class Malformed(ValueError):
    """These octets are no PDU, and what follows on the connection can't be told apart any more."""


@dataclass(frozen=True, slots=True)
class Pdu:
    """One PDU. ``command`` is its name, "" when there is none for ``code``; text fields are bytes without NUL."""

    command: str
    status: int = 0
    sequence: int = 0
    fields: Mapping[str, bytes | int] = field(default_factory=dict)
    tlvs: Mapping[int, bytes] = field(default_factory=dict)
    code: int = 0

    @property
    def is_response(self) -> bool:
        """Whether it answers one of ours (generic_nack does)."""
        return bool(self.code & _RESPONSE)

    def text(self, name: str) -> str:
        """A text field; empty when it is missing."""
        value = self.fields.get(name, b"")
        return value.decode("latin-1") if isinstance(value, bytes) else str(value)

    def octets(self, name: str) -> bytes:
        """A field of octets; empty when it is missing."""
        value = self.fields.get(name, b"")
        return value if isinstance(value, bytes) else b""

    def number(self, name: str) -> int:
        """A field of one or more octets read as a number; 0 when it is missing."""
        value = self.fields.get(name, 0)
        return value if isinstance(value, int) else 0

    def tlv_text(self, tag: int) -> str | None:
        """An optional parameter as text, up to its NUL; None when it is missing."""
        value = self.tlvs.get(tag)
        return None if value is None else value.split(b"\0", 1)[0].decode("utf-8", "replace")

    def tlv_number(self, tag: int) -> int | None:
        """An optional parameter as a number, whatever its length; None when it is missing or empty."""
        value = self.tlvs.get(tag)
        return int.from_bytes(value, "big") if value else None


def encode(
    command: str,
    sequence: int,
    status: int = 0,
    fields: Mapping[str, Any] | None = None,
    tlvs: Mapping[int, bytes] | None = None,
) -> bytes:
    """The octets of a PDU; ``fields`` are smpplib's, text as ASCII. ``tlvs`` by tag follow them."""
    if command == "generic_nack" or (status and command.endswith("_resp")):
        body = b""  # 4.3.1, and a refusal's body is not looked at (4.4.2)
    else:
        pdu = factory(command, sequence=sequence, **(fields or {}))
        body = pdu.generate_params()
    extra = b"".join(struct.pack(">HH", tag, len(value)) + value for tag, value in (tlvs or {}).items())
    head = struct.pack(">LLLL", HEADER + len(body) + len(extra), commands[command], status, sequence)
    return bytes(head + body + extra)


def length_of(header: bytes) -> int:
    """How many octets the PDU has whose first 16 these are. Raises Malformed."""
    length = int.from_bytes(header[:4], "big")
    if not HEADER <= length <= LONGEST:
        raise Malformed(f"a PDU of {length} octets")
    return length


def decode(frame: bytes) -> Pdu:
    """The PDU in these octets, all of it. Fields that are cut off or missing are left out; never raises."""
    _, code, status, sequence = struct.unpack(">LLLL", frame[:HEADER])
    command = _NAMES.get(code, "")
    fields: dict[str, bytes | int] = {}
    position = HEADER
    for name, kind, size in _layout(command):
        if position >= len(frame):
            break
        if kind == "number":
            if position + size <= len(frame):
                fields[name] = struct.unpack_from(_FORMATS[size], frame, position)[0]
            position += size
        elif kind == "text":
            end = frame.find(b"\0", position)
            end = len(frame) if end < 0 else end
            fields[name] = frame[position:end]
            position = end + 1
        else:  # after its own length
            said = fields.get("sm_length", 0)
            end = position + (said if isinstance(said, int) else 0)
            fields[name] = frame[position:end]
            position = end
    return Pdu(command, status, sequence, fields, _tlvs(frame[position:]), code)


def _tlvs(octets: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    position = 0
    while position + 4 <= len(octets):
        tag, length = struct.unpack_from(">HH", octets, position)
        position += 4
        if position + length > len(octets):
            break
        found.setdefault(tag, octets[position : position + length])
        position += length
    return found


_Kind = Literal["number", "text", "octets"]


@lru_cache(maxsize=64)
def _layout(command: str) -> tuple[tuple[str, _Kind, int], ...]:
    """The mandatory fields of a command: name, kind, octets of a number. None for a command we don't know."""
    if command not in commands or command in _BARE:
        return ()
    pdu = factory(command, sequence=0)
    kinds: dict[Any, _Kind] = {int: "number", str: "text", ostr: "octets"}
    return tuple(
        (name, kinds[pdu.params[name].type], getattr(pdu.params[name], "size", 0))
        for name in pdu.params_order
        if not pdu.field_is_optional(name)
    )


_BARE = frozenset(
    {"generic_nack", "outbind", "replace_sm", "replace_sm_resp", "cancel_sm", "cancel_sm_resp"}
    | {"submit_multi", "submit_multi_resp"}
)
"""Without a body, or unknown to smpplib, which lists their names only."""
