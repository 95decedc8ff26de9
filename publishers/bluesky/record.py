"""A post as a record of ``app.bsky.feed.post``: its key, its facets, its embeds (lexicons of bluesky-social/atproto).

Everything here follows from the Post alone, so that a repeat writes the same record under the same key.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import regex

from publishers.base import Permanent
from schemas.messages import Post

POSTS = "app.bsky.feed.post"
"""The collection of a repository that holds its posts."""

Json = dict[str, Any]

_ALPHABET = "234567abcdefghijklmnopqrstuvwxyz"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CLOCK_BITS = 10

_TAG_GRAPHEMES, _TAG_OCTETS = 64, 640
_UNSEEN = r"\u00ad\u2060\u200a-\u200d\u20e2"  # what ends a tag in Bluesky's own detection, beside white space
_FACETS = regex.compile(
    r"(?<!\w)(?P<link>(?i:https?)://[^\s<>\"«»“”\ufeff]+)"
    rf"|(?<!\S)[#＃](?P<tag>(?!\ufe0f)[^\s{_UNSEEN}]+)"
)
_AFTER_LINK = ".,;:!?…'’"
_OPENS = {")": "(", "]": "["}
_AFTER_TAG = regex.compile(r"\p{P}+$")
_SAYS_SOMETHING = regex.compile(r"[^\d\p{P}]")


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a post is (``at://did/collection/rkey``) and which version of it (com.atproto.repo.strongRef)."""

    uri: str
    cid: str

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """Of ``Receipt.reference``. Raises Permanent when no publisher of this channel gave it."""
        uri, _, cid = text.partition(" ")
        if not uri.startswith("at://") or uri.count("/") != 4 or not cid:
            raise Permanent(f"{text!r} is no reference of a Bluesky post", code="reference")
        return cls(uri, cid)

    @property
    def key(self) -> str:
        """The record's key."""
        return self.uri.rpartition("/")[2]

    @property
    def repository(self) -> str:
        """The DID of the account that it belongs to."""
        return self.uri.split("/")[2]

    def __str__(self) -> str:
        return f"{self.uri} {self.cid}"


def graphemes(text: str) -> int:
    """Characters as Bluesky counts them: extended grapheme clusters (UAX 29), so that a family emoji is one."""
    return len(regex.findall(r"\X", text))


def record_key(at: datetime, key: str) -> str:
    """The TID (atproto.com/specs/tid) of a post: its millisecond, then twenty bits of the hash of its key.

    Where a TID has the microseconds of a millisecond and its clock's number: two posts of one millisecond have the
    same key once in a million times. Whoever writes must not overwrite.
    """
    milliseconds = (at - _EPOCH) // timedelta(milliseconds=1)
    digest = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=4).digest(), "big")
    number = (milliseconds * 1000 + (digest >> _CLOCK_BITS) % 1000) << _CLOCK_BITS | digest % (1 << _CLOCK_BITS)
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(60, -1, -5))


def facets(text: str) -> list[Json]:
    """What in the text can be followed: addresses and hashtags, by their offsets in its UTF-8.

    A handle stays text: a mention needs its DID, which only a question to the network would give, and which could
    be another's by the next try.
    """
    found, position, octets = [], 0, 0
    for start, end, feature in _followed(text):
        begins = octets + len(text[position:start].encode())
        octets = begins + len(text[start:end].encode())
        position = end
        index = {"byteStart": begins, "byteEnd": octets}
        found.append({"index": index, "features": [{"$type": f"app.bsky.richtext.facet#{feature[0]}", **feature[1]}]})
    return found


def _followed(text: str) -> Iterator[tuple[int, int, tuple[str, Json]]]:
    for match in _FACETS.finditer(text):
        if match["link"] is not None:
            link = _without_sentence(match["link"])
            if _host(link):
                yield match.start(), match.start() + len(link), ("link", {"uri": link})
            continue
        tag = _AFTER_TAG.sub("", match["tag"])
        fits = graphemes(tag) <= _TAG_GRAPHEMES and len(tag.encode()) <= _TAG_OCTETS
        if fits and _SAYS_SOMETHING.search(tag):
            yield match.start(), match.start("tag") + len(tag), ("tag", {"tag": tag})


def _without_sentence(link: str) -> str:
    """The address without the punctuation of the sentence that it ends."""
    while link:
        opens = _OPENS.get(link[-1])
        if link[-1] not in _AFTER_LINK and (opens is None or link.count(opens) >= link.count(link[-1])):
            break
        link = link[:-1]
    return link


def _host(link: str) -> str | None:
    """The host of an address, None when it has none."""
    try:
        return urlsplit(link).hostname
    except ValueError:
        return None


def record(message: Post, blobs: Sequence[Json] = ()) -> Json:
    """The record of a post; ``blobs`` are what the server made of its pictures, in their order."""
    made: Json = {
        "$type": POSTS,
        "text": message.text,
        "createdAt": message.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "langs": [message.language],
    }
    if found := facets(message.text):
        made["facets"] = found
    if embed := _embed(message, blobs):
        made["embed"] = embed
    if message.reply_to is not None:
        parent = Reference.parse(message.reply_to)
        root = Reference.parse(message.root or message.reply_to)
        made["reply"] = {"root": _strong(root), "parent": _strong(parent)}
    return made


def _embed(message: Post, blobs: Sequence[Json]) -> Json | None:
    """Pictures, else a card for a link that the text lacks.

    A link that stands in the text needs none: nothing is known of its page but its address, so that a card would
    only have it read out twice.
    """
    if blobs:
        images = [
            {
                "alt": picture.alt,
                "image": blob,
                "aspectRatio": {"width": picture.width, "height": picture.height},
            }
            for picture, blob in zip(message.pictures, blobs, strict=True)
        ]
        return {"$type": "app.bsky.embed.images", "images": images}
    if message.link is None or message.link in message.text:
        return None
    card = {"uri": message.link, "title": _host(message.link) or message.link, "description": ""}
    return {"$type": "app.bsky.embed.external", "external": card}


def _strong(reference: Reference) -> Json:
    return {"uri": reference.uri, "cid": reference.cid}
