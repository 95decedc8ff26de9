"""Texts of social posts: how Mastodon counts them, and how one that is too long is cut."""

import re

LIMIT = 500
"""Characters of a post on a server with Mastodon's own settings."""
URL_LENGTH = 23
"""What a link counts, however long it is (docs.joinmastodon.org/user/posting/#links)."""

_URL = re.compile(r"https?://[A-Za-z0-9.-]+(?::\d+)?(?:/[A-Za-z0-9._~/%&=?#+@:!$,;*-]*)?(?<![.,;:!?*$%~&|@-])")
_MENTION = re.compile(r"(?<![=/\w])@(?=\w)")


def length(text: str) -> int:
    """Characters as Mastodon counts them. Code points, so never fewer than its graphemes."""
    return len(_URL.sub("x" * URL_LENGTH, text))


def without_mentions(text: str) -> str:
    """The text with a zero-width space after each @ that would notify somebody."""
    return _MENTION.sub("@\u200b", text)


def fitted(text: str, tail: str, limit: int = LIMIT) -> str:
    """Text, blank line, tail; when that exceeds ``limit`` the text is cut after a word and ends in « … ».

    ``tail`` (link, hashtags) is kept whole; it must be shorter than ``limit``.
    """
    end = f"\n\n{tail}" if tail else ""
    if length(text + end) <= limit:
        return text + end
    words = re.split(r"(?<=\S)(?=\s)", text)
    while words and length("".join(words) + "…" + end) > limit:
        words.pop()
    if not words:  # one word longer than the post
        return text[: limit - length("…" + end)] + "…" + end
    return "".join(words).rstrip(" ,;:\n") + "…" + end
