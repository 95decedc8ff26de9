"""What an operator asks of the sandbox: counts, and faults on demand."""

import json
from collections.abc import Sequence
from typing import Protocol

from aiohttp import web

from sandbox.courier import Courier
from sandbox.faults import Faults
from sandbox.handsets import Handsets
from sandbox.journal import Line
from sandbox.mailbox import Mailbox
from sandbox.tally import Tally


class Counted(Protocol):
    """A provider by its name, and what it counts."""

    network: str
    tally: Tally


class Admin:
    """The handlers under /sandbox."""

    def __init__(
        self, faults: Faults, courier: Courier, mailbox: Mailbox, handsets: Handsets, networks: Sequence[Counted]
    ) -> None:
        self._faults = faults
        self._courier = courier
        self._mailbox = mailbox
        self._handsets = handsets
        self._networks = networks

    def routes(self) -> list[web.RouteDef]:
        """For the application."""
        return [
            web.get("/sandbox/counts", self.show_counts),
            web.get("/sandbox/faults", self.list_faults),
            web.post("/sandbox/faults", self.add_fault),
            web.delete("/sandbox/faults", self.clear_faults),
        ]

    def counts(self) -> Line:
        """Per provider what was accepted, distinct, twice; and what the courier still has to bring."""
        return {
            "email": self._mailbox.tally.as_json(),
            "sms": self._handsets.tally.as_json(),
            **{each.network: each.tally.as_json() for each in self._networks},
            "courier": {"pending": self._courier.pending, "acknowledged": self._courier.acknowledged},
        }

    async def show_counts(self, request: web.Request) -> web.Response:
        """GET /sandbox/counts."""
        return web.json_response(self.counts())

    async def list_faults(self, request: web.Request) -> web.Response:
        """GET /sandbox/faults: those still to come."""
        return web.json_response(self._faults.as_json())

    async def add_fault(self, request: web.Request) -> web.Response:
        """POST /sandbox/faults."""
        try:
            self._faults.add(json.loads(await request.read()))
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response(self._faults.as_json(), status=201)

    async def clear_faults(self, request: web.Request) -> web.Response:
        """DELETE /sandbox/faults."""
        self._faults.clear()
        return web.json_response([])
