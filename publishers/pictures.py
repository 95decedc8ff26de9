"""What channels do with pictures: tell one set from another, cut a description to the network's measure."""

import hashlib
from collections.abc import Sequence

from schemas.messages import Picture

_LENGTH = 12


def pictured(pictures: Sequence[Picture]) -> str:
    """A short digest of pictures and alt texts, in their order; empty where there are none.

    Kept behind the "#" of a reference: to know, when a post is edited, whether its pictures are to stay.
    """
    if not pictures:
        return ""
    digest = hashlib.sha256()
    for picture in pictures:
        digest.update(hashlib.sha256(picture.content).digest() + hashlib.sha256(picture.alt.encode()).digest())
    return digest.hexdigest()[:_LENGTH]


def fitted(alt: str, characters: int) -> str:
    """The description, cut where it is longer than the network takes."""
    return alt if len(alt) <= characters else alt[: characters - 1] + "…"
