"""Pictures on their way to X: uploaded and described first, then named by the post that shows them.

API v2 (docs.x.com, "Media": POST /2/media/upload with a form, POST /2/media/metadata); that of v1.1, of which
tweepy knows, was switched off in 2025. An upload shows nothing to anybody and is forgotten after a day, so whatever
goes wrong here is Transient, and what this process has uploaded serves the next try as well.
"""

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import aiohttp
from pydantic import BaseModel, Field, ValidationError

from publishers.base import Transient, Unknown
from publishers.http_errors import harmless
from publishers.latest import Latest
from publishers.pictures import fitted
from publishers.x.client import Client, Reply, lasting
from publishers.x.errors import refusal
from schemas.messages import Picture

ALT_CHARACTERS = 1000

_REMEMBERED = 256
_MARGIN = timedelta(minutes=5)


class _Uploaded(BaseModel):
    id: str = Field(min_length=1)
    expires_after_secs: int = 86_400


class _Answer(BaseModel):
    data: _Uploaded


class Pictures:
    """Uploads of all accounts; only an account's own can be in its posts."""

    def __init__(self) -> None:
        self._known: Latest[tuple[str, bytes, str], tuple[str, datetime]] = Latest(_REMEMBERED)

    async def ready(
        self, client: Client, account: str, pictures: Sequence[Picture], left: Callable[[], float]
    ) -> list[str]:
        """Their numbers at X, in order; ``left`` says how many seconds there are.

        Raises Transient or Untried when they can't be had in that time, Permanent when X will not have one.
        """
        return [await self._uploaded(client, account, picture, left) for picture in pictures]

    def forget(self, account: str) -> None:
        """X no longer has them: the next try uploads them again."""
        for key in [key for key in self._known if key[0] == account]:
            del self._known[key]

    async def _uploaded(self, client: Client, account: str, picture: Picture, left: Callable[[], float]) -> str:
        now = datetime.now(UTC)
        alt = fitted(picture.alt, ALT_CHARACTERS)
        key = (account, hashlib.sha256(picture.content).digest(), alt)
        known = self._known.get(key)
        if known is not None and known[1] > now:
            return known[0]
        form = aiohttp.FormData()
        form.add_field("media_category", "tweet_image")
        form.add_field("media_type", picture.media_type)
        form.add_field("media", picture.content, filename="picture", content_type=picture.media_type)
        reply = await _asked(client, account, "/2/media/upload", left, form=form)
        try:
            made = _Answer.model_validate_json(reply.content).data
        except ValidationError as error:
            raise Transient(f"answer {reply.status} without the picture's number") from error
        if alt:
            described = {"id": made.id, "metadata": {"alt_text": {"text": alt}}}
            await _asked(client, account, "/2/media/metadata", left, json=described)
        self._known[key] = (made.id, now + timedelta(seconds=made.expires_after_secs) - _MARGIN)
        return made.id


async def _asked(
    client: Client,
    account: str,
    route: str,
    left: Callable[[], float],
    *,
    form: aiohttp.FormData | None = None,
    json: object = None,
) -> Reply:
    try:
        with lasting(left()):
            reply = await client.request("POST", route, json=json, form=form, user_auth=client.keys.sign)
    except Unknown as error:
        raise Transient(f"a picture was not uploaded: {error.reason}") from error
    if not reply.is_success:
        raise harmless(refusal(reply, account, datetime.now(UTC)))
    return reply
