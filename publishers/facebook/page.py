"""One page of the Graph API: its calls, what their answers hold, and when the page asks for a pause."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any

import httpx
from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from publishers.base import Permanent, PublishError, Transient, Unknown
from publishers.facebook.errors import graph_error, refusal, rest_needed
from publishers.http_exchange import Exchange, Wire
from publishers.rest import Rest
from schemas.messages import Picture

_POSTS = 100
_PAGES_LOOKED_AT = 5


class Made(BaseModel):
    """The answer to something new."""

    id: Annotated[str, Field(min_length=1)]


class Listed(BaseModel):
    """A post as a list of them shows it."""

    id: str
    created_time: AwareDatetime
    message: str = ""
    permalink_url: str | None = None


class Owner(BaseModel):
    """Whose token it is."""

    id: str
    name: str = ""


class _Done(BaseModel):
    success: bool


class _Cursors(BaseModel):
    after: str | None = None


class _Paging(BaseModel):
    cursors: _Cursors = _Cursors()
    next: str | None = None


class _List(BaseModel):
    data: list[Listed]
    paging: _Paging = _Paging()


class GraphPage:
    """``name`` as in the settings; ``proof`` goes with every call (appsecret_proof, or nothing)."""

    def __init__(self, name: str, page_id: str, wire: Wire, proof: dict[str, str], rest: Rest) -> None:
        self.name = name
        self.page_id = page_id
        self.wire = wire
        self._proof = proof
        self._rest = rest

    async def feed(self, fields: dict[str, Any], exchange: Exchange) -> httpx.Response:
        """Ask for a post. Raises Untried or Unknown when no reply comes."""
        return await self._send("POST", f"/{self.page_id}/feed", exchange, json=fields)

    async def edit(self, identity: str, text: str) -> None:
        """Replace a post's text. Raises like ``Edits.edit``."""
        await self._change("POST", identity, json={"message": text})

    async def delete(self, identity: str) -> None:
        """Take a post back. Raises like ``Edits.edit``: "gone" when there is none."""
        await self._change("DELETE", identity)

    async def upload(self, picture: Picture) -> str:
        """The id of a picture that nobody sees yet. What became of a lost one does not matter, so: Transient."""
        try:
            response = await self._send(
                "POST",
                f"/{self.page_id}/photos",
                data={"published": "false", "alt_text_custom": picture.alt},
                files={"source": ("picture", picture.content, picture.media_type)},
            )
            if response.is_success:
                return Made.model_validate_json(response.content).id
            error = refusal(response, self.name)
        except ValidationError:
            raise Transient("the answer to a picture can't be read", code="pictures") from None
        except Unknown as lost:
            error = lost
        if isinstance(error, Unknown):
            raise Transient(f"a picture was not uploaded: {error.reason}", code="pictures")
        raise error

    async def posts(self, since: datetime) -> AsyncIterator[Listed]:
        """The page's posts made at ``since`` (to the second) or later, newest first.

        Raises Transient when they can't be had now, Permanent when the token may not read the page.
        """
        query = {
            "fields": "id,message,created_time,permalink_url",
            "limit": str(_POSTS),
            "since": str(int(since.timestamp())),
        }
        for _ in range(_PAGES_LOOKED_AT):
            listed = await self._list(query)
            for post in listed.data:
                if post.created_time >= since.replace(microsecond=0):
                    yield post
            # not by ``next``, which is an address with the token in it
            if not listed.paging.next or not listed.paging.cursors.after:
                return
            query["after"] = listed.paging.cursors.after
        raise Transient(f"not among the last {_POSTS * _PAGES_LOOKED_AT} posts; there are more", code="too_many")

    async def readable(self) -> None:
        """Raises Permanent when the token may not read the page, Transient when that can't be known now."""
        await self._list({"fields": "id,created_time", "limit": "1"})

    async def owner(self) -> Owner:
        """Whose token it is. Raises like ``publish``; ValidationError when the answer is nothing of Facebook's."""
        response = await self._send("GET", "/me", params={"fields": "id,name"})
        if not response.is_success:
            raise refusal(response, self.name)
        return Owner.model_validate_json(response.content)

    async def _send(self, method: str, path: str, exchange: Exchange | None = None, **content: Any) -> httpx.Response:
        content["params"] = content.get("params", {}) | self._proof
        response = await self.wire.send(self.wire.request(method, path, **content), exchange or Exchange())
        self._rest.ask(self.name, rest_needed(response.headers), "Facebook's quota of the page is used up")
        return response

    async def _change(self, method: str, identity: str, **content: Any) -> None:
        response = await self._send(method, f"/{identity}", **content)
        if not response.is_success:
            raise await self._gone(response) or refusal(response, self.name)
        try:
            done = _Done.model_validate_json(response.content).success
        except ValidationError as error:
            raise Unknown(f"answer {response.status_code} that can't be read") from error
        if not done:
            raise Transient("Facebook says that it was not done")

    async def _gone(self, response: httpx.Response) -> PublishError | None:
        """Permanent "gone" when the post is surely no more.

        Facebook says the same of a post that is gone and of one that the token may not see: that this token sees
        the page tells them apart.
        """
        error = graph_error(response)
        if error is None or not error.nothing_there:
            return None
        try:
            seen = await self._send("GET", f"/{self.page_id}", params={"fields": "id"})
        except Unknown as lost:
            return Transient(lost.reason)
        return Permanent("there is no such post any more", code="gone") if seen.is_success else None

    async def _list(self, query: dict[str, str]) -> _List:
        try:
            response = await self._send("GET", f"/{self.page_id}/published_posts", params=query)
            if response.is_success:
                return _List.model_validate_json(response.content)
        except Unknown as lost:
            raise Transient(lost.reason) from lost
        except ValidationError as unreadable:
            raise Transient("Facebook's list of posts can't be read") from unreadable
        error = refusal(response, self.name)
        said = graph_error(response)
        if said and said.lacks_permission:
            raise Permanent(error.reason, code=error.code)
        raise error if isinstance(error, Transient) else Transient(error.reason, code=error.code)
