"""Mastodon: posts on the authority's own accounts (docs.joinmastodon.org, /api/v1/statuses).

Spoken over httpx and not by Mastodon.py, which the first design named: that one is synchronous, so that a
deadline leaves a thread posting behind our back, and reports a refused connection and a lost reply by the same
exception, where "nothing left" and "it may be out there" are exactly what must be told apart. Ten calls of
the API are all that is needed.

``Idempotency-Key`` makes a repeated post return the first one, for as long as the server keeps the key
(``KEY_KEPT``). After that, and only then, a post of unknown outcome must be looked for with ``find`` before it
is sent again.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import quote

import httpx
from pydantic import AwareDatetime, BaseModel, Field, HttpUrl, SecretStr, TypeAdapter, ValidationError

from publishers.accounts import PaceOptions, rates_of
from publishers.base import Finding, Limits, Permanent, PostForm, Receipt, Transient, Unclear, Unknown
from publishers.http_errors import harmless
from publishers.http_exchange import Exchange, Wire, bearer
from publishers.mastodon.check import checked
from publishers.mastodon.instance import Instances
from publishers.mastodon.pictures import Pictures, Upload
from publishers.mastodon.server import Server, is_missing, words
from publishers.rest import Rest
from publishers.settings import Options, named
from schemas.messages import Post

KEY_KEPT = timedelta(minutes=55)
"""Until when after the first try a repeat is safe: servers keep keys for an hour, less a margin for clocks.

Nor should it follow at once: the key is known when the first post is stored, so a server still busy with it
could make two. A retry's ordinary pause is enough."""

_LOOKED_AT = 40  # the most that the server gives on one page
_FOR_PICTURES = 0.75  # of an exchange's time; the rest is the post's


class Account(PaceOptions):
    """One account of the authority: its server's address, and a token with read, write:statuses and write:media.

    ``visibility`` "unlisted": everybody can read its posts, but the server's public timelines don't show them.
    """

    url: HttpUrl
    token: SecretStr = Field(min_length=1)
    visibility: Literal["public", "unlisted"] = "public"


class MastodonOptions(Options):
    """Settings of the channel. ``accounts`` by the name that authorities use; ``timeout`` in seconds, of a post
    with its pictures.

    ``max_characters``: posts no longer than that, where the server itself would take more.
    """

    accounts: dict[str, Account] = Field(min_length=1)
    timeout: float = Field(default=4.0, gt=0, le=60)
    max_characters: int | None = Field(default=None, ge=1)


_Identity = Annotated[str, Field(min_length=1)]


class _Attachment(BaseModel):
    id: _Identity


class _Status(BaseModel):
    id: _Identity
    created_at: AwareDatetime
    url: str | None = None
    in_reply_to_id: str | None = None
    media_attachments: list[_Attachment] = []


class _Source(BaseModel):
    text: str


class _Me(BaseModel):
    id: _Identity


_STATUSES = TypeAdapter(list[_Status])


class Mastodon:
    """The Mastodon channel; one HTTP client for each account, so that no token can reach another's server."""

    channel = "mastodon"
    unclear = Unclear.SEND_AGAIN

    def __init__(self, options: MastodonOptions) -> None:
        self.limits = Limits(window=10, concurrency=4, max_characters=options.max_characters or 500)
        self._cap = options.max_characters
        self.rates = rates_of(options.accounts)
        self.rest = Rest()
        self._pictures = Pictures()
        self._instances = Instances()
        self._visibility = {name: account.visibility for name, account in options.accounts.items()}
        self._servers = {
            name: Server(name, self._wire(account, options.timeout), options.timeout, self.rest)
            for name, account in options.accounts.items()
        }

    def _wire(self, account: Account, seconds: float) -> Wire:
        # errors come in the language asked for, and officers' logs are in English
        headers = bearer(account.token.get_secret_value()) | {"Accept-Language": "en"}
        return Wire(str(account.url), headers, self.limits.concurrency, seconds)

    async def publish(self, message: Post) -> Receipt:
        """Post it; the receipt has the status's id and public address. See ``Publisher.publish``.

        Permanent with code "gone" when the post that it answers is no more.
        """
        server = self._server(message.account)
        ends, pictures_by = server.ends(), server.ends(_FOR_PICTURES)
        media = await self._ready(server, message, pictures_by)
        body = _body(message) | {"visibility": self._visibility[message.account]}
        if message.reply_to is not None:
            body["in_reply_to_id"] = message.reply_to
        if media:
            body["media_ids"] = [one.identity for one in media]
        headers = {"Idempotency-Key": message.key}
        response = await server.call("POST", "/api/v1/statuses", Exchange(), ends, json=body, headers=headers)
        if message.reply_to is not None and is_missing(response):
            raise Permanent(f"the post that this one answers is gone ({words(response)})", code="gone")
        return _receipt(server, response)

    async def edit(self, reference: str, message: Post, /) -> Receipt:
        """Replace text, warning, language and pictures. See ``Edits.edit``.

        A picture that this process has uploaded for the post stays attached, others are uploaded again; the server
        takes the same text and pictures for no change, and tells its readers of none.
        """
        server = self._server(message.account)
        ends, pictures_by = server.ends(), server.ends(_FOR_PICTURES)
        path = _path(reference)
        attached: list[str] = []
        if message.pictures:
            response = await server.ask("GET", path, pictures_by)
            if is_missing(response):
                raise _gone(response)
            attached = [one.id for one in _status(server, response).media_attachments]
        media = await self._ready(server, message, pictures_by, attached)
        body = _body(message) | {
            # what is left out would stay as it was, or for pictures go: say all of it
            "spoiler_text": message.warning or "",
            "sensitive": bool(message.warning),
            "media_ids": [one.identity for one in media],
            "media_attributes": [
                {"id": one.identity, "description": one.alt} for one in media if one.identity in attached
            ],
        }
        response = await server.call("PUT", path, Exchange(), ends, json=body)
        if is_missing(response):
            raise _gone(response)
        return _receipt(server, response)

    async def delete(self, reference: str, account: str, /) -> None:
        """Take the post back, from its readers and from the servers that have copied it. See ``Deletes.delete``."""
        server = self._server(account)
        response = await server.call("DELETE", _path(reference), Exchange())
        if not response.is_success and not is_missing(response):
            raise server.refusal(response)

    async def form(self, account: str, /) -> PostForm:
        """What the account's server takes, as it said within the last hour. See ``Publishes.form``."""
        return (await self._instances.of(self._server(account))).form(self._cap)

    @property
    def key_kept(self) -> timedelta:
        """See KEY_KEPT."""
        return KEY_KEPT

    async def find(self, message: Post, since: datetime, /) -> Receipt | None:
        """The account's post with exactly this text, made at ``since`` (the first try) or later; else None.

        For a post still unknown after ``KEY_KEPT``. The API can't be asked by key, so this compares texts as
        they were sent, and what they answer, among the last 40 posts: it can't tell two posts of the same words in
        the same place apart, and finds nothing that somebody has edited since. Raises Transient when the server
        can't say now.
        """
        server = self._server(message.account)
        try:
            me = _Me.model_validate_json(await server.read("/api/v1/accounts/verify_credentials"))
            recent = f"/api/v1/accounts/{me.id}/statuses?exclude_reblogs=true&limit={_LOOKED_AT}"
            for status in _STATUSES.validate_json(await server.read(recent)):
                if status.created_at < since or status.in_reply_to_id != message.reply_to:
                    continue
                source = await server.read(f"/api/v1/statuses/{status.id}/source")
                if _Source.model_validate_json(source).text == message.text:
                    return Receipt(reference=status.id, url=status.url)
        except ValidationError as error:
            raise Transient("the server's answer can't be read") from error
        return None

    async def check(self) -> Sequence[Finding]:
        """Whose token each account has, and whether it may post. See ``Checks.check``."""
        return await asyncio.gather(*map(checked, self._servers.values()))

    async def aclose(self) -> None:
        """Close the connections; a post under way ends Unknown, a later one Untried."""
        for server in self._servers.values():
            await server.wire.aclose()

    def _server(self, account: str) -> Server:
        return named(self.channel, self._servers, account)

    async def _ready(self, server: Server, message: Post, ends: float, attached: Sequence[str] = ()) -> list[Upload]:
        if not message.pictures:
            return []
        alt = (await self._instances.of(server)).alt_characters
        return await self._pictures.ready(server, message.pictures, ends, alt_characters=alt, attached=attached)


def _body(message: Post) -> dict[str, Any]:
    body: dict[str, Any] = {"status": message.text, "language": message.language}
    return body | {"spoiler_text": message.warning} if message.warning else body


def _path(reference: str) -> str:
    return f"/api/v1/statuses/{quote(reference, safe='')}"


def _receipt(server: Server, response: httpx.Response) -> Receipt:
    if not response.is_success:
        raise server.refusal(response)
    try:
        status = _Status.model_validate_json(response.content)
    except ValidationError as error:
        raise Unknown(f"answer {response.status_code} without the post's id") from error
    return Receipt(reference=status.id, url=status.url)


def _status(server: Server, response: httpx.Response) -> _Status:
    if not response.is_success:
        raise harmless(server.refusal(response))
    try:
        return _Status.model_validate_json(response.content)
    except ValidationError as error:
        raise Transient("the server's answer can't be read") from error


def _gone(response: httpx.Response) -> Permanent:
    return Permanent(f"there is no such post any more ({words(response)})", code="gone")
