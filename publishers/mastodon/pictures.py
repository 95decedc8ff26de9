"""Pictures on their way to a Mastodon post: uploaded first, processed by the server, then attached by their ids.

An upload publishes nothing: the server shows it to nobody, and deletes it after a day unless a post has taken it.
So whatever goes wrong here is Transient. What this process has uploaded is remembered for a while, so that a post
whose pictures took the server longer than one try goes on from there; a process that knows of none uploads again.
"""

import asyncio
import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from publishers.base import Permanent, Transient
from publishers.http_errors import harmless
from publishers.latest import Latest
from publishers.mastodon.server import Server, is_missing, words
from publishers.pictures import fitted
from schemas.messages import Picture

_REMEMBERED = 256
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 1.0

_Identity = Annotated[str, Field(min_length=1)]


class _Attachment(BaseModel):
    id: _Identity


@dataclass(frozen=True, slots=True)
class Upload:
    """A picture at the server: its ``identity`` there, and its description, cut to what the server takes."""

    identity: str
    alt: str


class Pictures:
    """Uploads of all accounts."""

    def __init__(self) -> None:
        self._known: Latest[tuple[str, bytes], Upload] = Latest(_REMEMBERED)

    async def ready(
        self,
        server: Server,
        pictures: Sequence[Picture],
        ends: float,
        *,
        alt_characters: int,
        attached: Collection[str] = (),
    ) -> list[Upload]:
        """These pictures, in order, each ready to be attached, or among those ``attached`` already.

        Raises Transient or Untried when they aren't by ``ends``, Permanent when the server will not have one.
        """
        found = [
            await self._uploaded(server, picture, ends, fitted(picture.alt, alt_characters), attached)
            for picture in pictures
        ]
        for upload, settled in found:
            if not settled:
                await self._processed(server, upload.identity, ends)
        return [upload for upload, _ in found]

    async def _uploaded(
        self, server: Server, picture: Picture, ends: float, alt: str, attached: Collection[str]
    ) -> tuple[Upload, bool]:
        """The picture, and whether it is settled that the server has processed it."""
        key = (server.name, hashlib.sha256(picture.content).digest())
        known = self._known.get(key)
        if known is not None and known.identity in attached:
            return Upload(known.identity, alt), True
        if known is not None and known.alt == alt:
            # 404 once a post has taken it, or the server has tidied up: then it is uploaded anew
            response = await server.ask("GET", f"/api/v1/media/{known.identity}", ends)
            if response.is_success:
                return known, response.status_code == 200
        return await self._upload(server, picture, ends, alt, key)

    async def _upload(
        self, server: Server, picture: Picture, ends: float, alt: str, key: tuple[str, bytes]
    ) -> tuple[Upload, bool]:
        name = f"picture.{picture.media_type.rpartition('/')[2]}"
        content: dict[str, Any] = {
            "files": {"file": (name, picture.content, picture.media_type)},
            "data": {"description": alt},
        }
        response = await server.ask("POST", "/api/v2/media", ends, **content)
        if not response.is_success:
            raise harmless(server.refusal(response))
        try:
            identity = _Attachment.model_validate_json(response.content).id
        except ValidationError as error:
            raise Transient(f"answer {response.status_code} without the picture's id") from error
        upload = self._known[key] = Upload(identity, alt)
        return upload, response.status_code == 200

    async def _processed(self, server: Server, identity: str, ends: float) -> None:
        wait = _FIRST_PAUSE
        clock = asyncio.get_running_loop().time
        while clock() + wait < ends:
            await asyncio.sleep(wait)
            wait = min(wait * 2, _LONGEST_PAUSE)
            response = await server.ask("GET", f"/api/v1/media/{identity}", ends)
            if response.status_code == 200:
                return
            if response.status_code == 422:
                raise Permanent(f"the server can't process a picture ({words(response)})", code="422")
            if is_missing(response):
                raise Transient("the server has forgotten a picture", code="404")
            if not response.is_success:
                raise harmless(server.refusal(response))
        raise Transient("the server is still processing the pictures", code="processing")
