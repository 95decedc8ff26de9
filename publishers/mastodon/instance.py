"""What a Mastodon server takes, as it says itself (docs.joinmastodon.org/entities/Instance, V1_Instance)."""

import asyncio
from functools import partial
from math import isqrt

import httpx
from pydantic import BaseModel, Field, ValidationError

from publishers.base import PostForm, PublishError, Transient, Untried
from publishers.mastodon.server import Server
from publishers.mastodon.text import URL_CHARACTERS, length

_BELIEVED_FOR = 3600.0  # seconds for which a server's description of itself holds
_ASKED_AGAIN_AFTER = 60.0  # seconds, when it could not be read once more

_OURS_OCTETS, _OURS_SIDE = 5_000_000, 2048
"""What we send at most, whatever the server would take: more is seen by nobody, and an upload has its deadline."""

_TAKEN = ("image/jpeg", "image/png")


class _Statuses(BaseModel):
    max_characters: int = Field(default=500, ge=1)
    max_media_attachments: int = Field(default=4, ge=0)
    characters_reserved_per_url: int = Field(default=URL_CHARACTERS, ge=1)


class _Media(BaseModel):
    supported_mime_types: list[str] = []
    image_size_limit: int = Field(default=16_777_216, ge=1)
    image_matrix_limit: int = Field(default=33_177_600, ge=1)
    description_limit: int = Field(default=1500, ge=1)


class _Configuration(BaseModel):
    statuses: _Statuses = _Statuses()
    media_attachments: _Media = _Media()


class Instance(BaseModel):
    """The part of the server's description that limits posts; Mastodon's own values where it says nothing.

    ``max_toot_chars`` is how servers older than Mastodon 3.4, and its relatives, say it.
    """

    configuration: _Configuration = _Configuration()
    max_toot_chars: int | None = Field(default=None, ge=1)

    @property
    def characters(self) -> int:
        """Of one post, its content warning included."""
        told = "max_characters" in self.configuration.statuses.model_fields_set
        return self.configuration.statuses.max_characters if told else self.max_toot_chars or 500

    @property
    def alt_characters(self) -> int:
        """Of a picture's description."""
        return self.configuration.media_attachments.description_limit

    def form(self, cap: int | None) -> PostForm:
        """What one post may hold; ``cap`` where the officers want less than the server takes."""
        statuses, media = self.configuration.statuses, self.configuration.media_attachments
        types = media.supported_mime_types
        return PostForm(
            characters=min(self.characters, cap or self.characters),
            count=partial(length, url_characters=statuses.characters_reserved_per_url),
            threads=True,
            pictures=statuses.max_media_attachments if not types or any(kind in types for kind in _TAKEN) else 0,
            picture_octets=min(media.image_size_limit, _OURS_OCTETS),
            picture_side=min(isqrt(media.image_matrix_limit), _OURS_SIDE),
        )


class Instances:
    """What each account's server has said, asked again after an hour."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Instance, float]] = {}

    async def of(self, server: Server) -> Instance:
        """The server's description; that of before while it gives none.

        Raises Transient when there is none at all, Untried when nobody was there to ask.
        """
        clock = asyncio.get_running_loop().time
        known, until = self._known.get(server.name, (None, 0.0))
        if known is not None and clock() < until:
            return known
        try:
            found, lasts = await _asked(server), _BELIEVED_FOR
        except (PublishError, ValidationError) as error:
            if known is None:
                raise _unreadable(error) from error
            found, lasts = known, _ASKED_AGAIN_AFTER
        self._known[server.name] = (found, clock() + lasts)
        return found


async def _asked(server: Server) -> Instance:
    response = await server.ask("GET", "/api/v2/instance")
    if response.status_code == httpx.codes.NOT_FOUND:  # before Mastodon 4, and its relatives
        response = await server.ask("GET", "/api/v1/instance")
    if not response.is_success:
        raise server.refusal(response)
    return Instance.model_validate_json(response.content)


def _unreadable(error: PublishError | ValidationError) -> Transient:
    if isinstance(error, Untried):
        return error
    why = error.reason if isinstance(error, PublishError) else "its answer makes no sense"
    pause = error.retry_after if isinstance(error, Transient) else None
    return Transient(f"the server's limits can't be read: {why}", retry_after=pause)
