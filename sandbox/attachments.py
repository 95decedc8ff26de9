"""Media of the Mastodon API before a post takes them (docs.joinmastodon.org/methods/media). A restart forgets them."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import BodyPartReader, web

from sandbox.journal import Line
from sandbox.pictures import Pictures

OCTETS = 16_777_216
ALT_CHARACTERS = 1500
AT_MOST = 4


class Refused(ValueError):
    """Mastodon's 422; the text is its sentence."""


@dataclass(slots=True)
class _Media:
    account: str
    picture: Line
    ready: float
    post: str | None = None


class Attachments:
    """Pictures by the ids that uploads gave; each is processed for ``delay`` seconds first."""

    def __init__(self, pictures: Pictures, delay: float) -> None:
        self._pictures = pictures
        self._delay = delay
        self._media: dict[str, _Media] = {}
        self._last = 0

    async def take(self, request: web.Request, account: str) -> Line:
        """Keep an upload. Raises Refused."""
        content, fields = await _form(request)
        alt = fields.get("description", "")
        if len(alt) > ALT_CHARACTERS:
            raise Refused(f"Validation failed: Description is too long (maximum is {ALT_CHARACTERS} characters)")
        if len(content) > OCTETS:
            raise Refused("Validation failed: File file size must be less than 16 MB")
        try:
            picture = await asyncio.to_thread(self._pictures.keep, content, alt)
        except ValueError as error:
            raise Refused("Validation failed: File content type is invalid, File is invalid") from error
        self._last = max(int(time.time() * 1000) << 16, self._last + 1)
        identity = str(self._last)
        media = {"media_id": identity, "focus": fields.get("focus")}
        self._media[identity] = _Media(account, picture | media, time.monotonic() + self._delay)
        return self._media[identity].picture

    def free(self, identity: str, account: str) -> Line | None:
        """An upload of that account which no post has taken."""
        media = self._media.get(identity)
        return media.picture if media and media.account == account and media.post is None else None

    def processed(self, identity: str) -> bool:
        """Whether it may be attached."""
        return time.monotonic() >= self._media[identity].ready

    def wanted(self, account: str, fields: Line, before: Sequence[Line] = ()) -> list[Line]:
        """The pictures that a post asks for by ``media_ids``; those it has had ``before`` may stay. Raises Refused.

        Ids that nobody knows are passed over, as Mastodon does.
        """
        asked = [str(one) for one in fields.get("media_ids") or []]
        if len(asked) > AT_MOST:
            raise Refused("Validation failed: Cannot attach more than 4 files")
        described = {str(one["id"]): one.get("description") for one in fields.get("media_attributes") or []}
        had = {picture["media_id"]: picture for picture in before}
        found = []
        for identity in asked:
            picture = had.get(identity) or self.free(identity, account)
            if picture is None:
                continue
            if identity not in had and not self.processed(identity):
                raise Refused("Cannot attach files that have not finished processing. Try again in a moment!")
            alt = described.get(identity)
            found.append(picture if alt is None else picture | {"alt": alt})
        return found

    def attach(self, pictures: Sequence[Line], post: str) -> None:
        """They belong to a post now."""
        for picture in pictures:
            if media := self._media.get(picture["media_id"]):
                media.post = post


async def _form(request: web.Request) -> tuple[bytes, dict[str, str]]:
    """The file and the other fields of a multipart form, however large (the application's own limit is for posts)."""
    content, fields = b"", dict[str, str]()
    if not request.content_type.startswith("multipart/"):
        return content, fields
    reader = await request.multipart()
    while (part := await reader.next()) is not None:
        assert isinstance(part, BodyPartReader)
        if part.name == "file":
            content = bytes(await part.read())
        elif part.name:
            fields[part.name] = await part.text()
    return content, fields
