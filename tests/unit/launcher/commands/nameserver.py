"""A name server of the tests on loopback (UDP, TCP for what is too long), and the same records without a network."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import cast

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from launcher.diagnosis.resolver import Address, Unanswered

Records = Mapping[str, Sequence[str]]
"""``{"valmerande.example TXT": ["v=spf1 -all"], …}``; the value "servfail" is a server in trouble, "silent" none."""


class Written:
    """A Zone of records that are written down."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def _of(self, name: str, kind: str) -> Sequence[str]:
        found = self._records.get(f"{name.lower()} {kind}", ())
        if "servfail" in found:
            raise Unanswered(name, "its servers fail")
        return found

    async def texts(self, name: str) -> tuple[str, ...]:
        return tuple(self._of(name, "TXT"))

    async def addresses(self, name: str) -> tuple[Address, ...]:
        return tuple(map(ipaddress.ip_address, (*self._of(name, "A"), *self._of(name, "AAAA"))))

    async def exchangers(self, name: str) -> tuple[tuple[int, str], ...]:
        pairs = (line.split(" ") for line in self._of(name, "MX"))
        return tuple(sorted((int(preference), "" if host == "." else host) for preference, host in pairs))


def _answer(wire: bytes, records: Records, *, room: int | None) -> bytes | None:
    """The answer to a question; None for silence. ``room`` is what a datagram takes."""
    question = dns.message.from_wire(wire)
    response = dns.message.make_response(question)
    response.flags |= dns.flags.AA | dns.flags.RA
    asked = question.question[0]
    name, kind = asked.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(asked.rdtype)
    values = records.get(f"{name} {kind}", ())
    if "silent" in values:
        return None
    if "servfail" in values:
        response.set_rcode(dns.rcode.SERVFAIL)
    elif values:
        written = [_text(value) if kind == "TXT" else _rooted(value) for value in values]
        response.answer.append(dns.rrset.from_text(asked.name, 60, "IN", kind, *written))
    elif not any(place.split(" ")[0] == name for place in records):
        response.set_rcode(dns.rcode.NXDOMAIN)
    answer = response.to_wire(max_size=65535)
    if room is not None and len(answer) > room:
        response = dns.message.make_response(question)
        response.flags |= dns.flags.TC
        answer = response.to_wire()
    return answer


def _text(value: str) -> str:
    """In strings of at most 255 bytes, as DNS has them."""
    parts = [value[at : at + 200] for at in range(0, len(value), 200)]
    return " ".join('"' + part.replace('"', '\\"') + '"' for part in parts)


def _rooted(value: str) -> str:
    preference, _, host = value.partition(" ")
    return f"{preference} {host.rstrip('.')}." if host else value


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, records: Records, asked: list[str]) -> None:
        self._records = records
        self._asked = asked

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        question = dns.message.from_wire(data).question[0]
        self._asked.append(f"{question.name.to_text(omit_final_dot=True)} {dns.rdatatype.to_text(question.rdtype)}")
        if (answer := _answer(data, self._records, room=512)) is not None:
            self._transport.sendto(answer, addr)


@asynccontextmanager
async def name_server(records: Records, asked: list[str] | None = None) -> AsyncIterator[str]:
    """Serves ``records``; yields its address for ``Resolver``. ``asked`` is told each question."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(2))
        answer = _answer(await reader.readexactly(size), records, room=None)
        assert answer is not None
        writer.write(len(answer).to_bytes(2) + answer)
        await writer.drain()
        writer.close()

    stream = await asyncio.start_server(converse, "127.0.0.1", 0)
    port = stream.sockets[0].getsockname()[1]
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Datagrams(records, asked if asked is not None else []), local_addr=("127.0.0.1", port)
    )
    try:
        yield f"127.0.0.1:{port}"
    finally:
        transport.close()
        stream.close()
