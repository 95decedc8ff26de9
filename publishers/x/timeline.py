"""An account's own posts as X gives them back, and whether one of them is the very post that we sent.

X keeps no text as it was sent: it puts t.co addresses in place of ours and of pictures, and ``&amp;`` for ``&``.
"""

import html
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated
from unicodedata import normalize

from pydantic import AwareDatetime, BaseModel, Field

from publishers.x.text import addresses

EARLIEST = datetime.fromisoformat("2010-11-06T00:00:00+00:00")
"""X takes no earlier start of a search."""


class _Url(BaseModel):
    url: str
    expanded_url: str = ""
    media_key: str | None = None


class _Entities(BaseModel):
    urls: list[_Url] = Field(default_factory=list)


class Status(BaseModel):
    """One post of the account."""

    id: Annotated[str, Field(pattern=r"^[0-9]+$")]
    text: str
    created_at: AwareDatetime
    entities: _Entities = Field(default_factory=_Entities)

    def says(self, text: str) -> bool:
        """Whether it has exactly these words, and addresses that lead to the same places."""
        shown = html.unescape(self.text)
        for each in self.entities.urls:
            shown = shown.replace(each.url, "" if each.media_key else each.expanded_url)
        return _essence(shown) == _essence(text)


class _Meta(BaseModel):
    next_token: str | None = None


class Page(BaseModel):
    """Posts, newest first; without ``data`` when there are none."""

    data: Sequence[Status] = ()
    meta: _Meta = Field(default_factory=_Meta)


def _essence(text: str) -> str:
    """The text without what X changes: the scheme of an address and its last slash, and how words are spaced."""
    text = normalize("NFC", text)
    pieces, position = [], 0
    for start, end in addresses(text):
        pieces += [text[position:start], re.sub(r"^https?://", "", text[start:end], flags=re.IGNORECASE).rstrip("/")]
        position = max(position, end)
    return " ".join("".join([*pieces, text[position:]]).split())
