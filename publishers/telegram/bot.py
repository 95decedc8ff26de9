"""One bot's calls of the Bot API (core.telegram.org/bots/api).

The token is part of every call's path. httpx logs the address of each request, and its exceptions carry the
request; so a request's address is one that doesn't tell its path to whoever prints it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from pydantic import BaseModel, ValidationError

from publishers.base import PublishError, Transient, Unknown
from publishers.http_exchange import Exchange, Wire
from publishers.rest import Rest
from publishers.telegram.errors import refusal


class _Answer(BaseModel):
    ok: bool
    result: Any = None


class HiddenPath(httpx.URL):
    """An address that prints as another one. What goes over the wire is made of its parts, not of its text.

    Not httpcore's "target" extension, which does the same until there is a proxy: it then replaces the target of
    CONNECT too, and tells the proxy the token.
    """

    def __init__(self, url: str, shown: httpx.URL) -> None:
        super().__init__(url)
        self._shown = str(shown)

    def __str__(self) -> str:
        return self._shown

    def __repr__(self) -> str:
        return f"URL({self._shown!r})"


@dataclass(slots=True)
class Upload(Exchange):
    """An exchange with pictures. ``whole`` turns true when the last byte of the request has gone.

    Telegram can't take a request of which a part is missing, so until then nothing is unclear: only late.
    """

    whole: bool = False

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Listens to httpcore."""
        await Exchange.trace(self, event, info)
        if self.begun and event.endswith("send_request_body.complete"):
            self.whole = True

    def lost(self, why: str) -> PublishError:
        """As of any exchange, but Transient while the pictures were under way."""
        if self.begun and not self.whole:
            return Transient(f"{why}: the pictures were still under way", code="pictures")
        return Exchange.lost(self, why)  # by name: a dataclass with slots is made anew, which super() can't follow


class Bot:
    """A bot and the chat that it posts to. Calls take turns: a channel takes about one message a second."""

    def __init__(self, name: str, chat: str, token: str, url: str, seconds: float, rest: Rest) -> None:
        self.name = name
        self.chat = chat
        self._wire = Wire(url, {}, 1, seconds)
        self._base = f"{url.rstrip('/')}/bot{token}"
        self._rest = rest

    def __repr__(self) -> str:
        return f"<bot of {self.name}>"

    async def call(
        self,
        method: str,
        parameters: Mapping[str, Any],
        *,
        files: Mapping[str, tuple[str, bytes, str]] | None = None,
    ) -> Any:
        """The result of a call. ``files``: name → (file name, content, media type). Raises like ``publish``."""
        if files:
            # beside files the API takes texts, and what has a structure as JSON
            texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in parameters.items()}
            content: dict[str, Any] = {"data": texts, "files": dict(files)}
        else:
            content = {"json": dict(parameters)}
        request = self._wire.request("POST", f"/{method}", **content)
        request.url = HiddenPath(f"{self._base}/{method}", shown=request.url)
        response = await self._wire.send(request, Upload() if files else Exchange())
        if response.is_success:
            try:
                answer = _Answer.model_validate_json(response.content)
            except ValidationError as error:
                raise Unknown(f"answer {response.status_code} that can't be read") from error
            if answer.ok:
                return answer.result
        refused = refusal(response, self.name)
        if isinstance(refused, Transient):
            self._rest.ask(self.name, refused.retry_after, refused.reason)
        raise refused

    async def aclose(self) -> None:
        """Close the connection: what is under way ends Unknown, later calls Untried."""
        await self._wire.aclose()
