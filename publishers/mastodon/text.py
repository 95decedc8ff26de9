"""How Mastodon counts a text (app/validators/status_length_validator.rb, config/initializers/twitter_regex.rb)."""

import regex

URL_CHARACTERS = 23
"""What a link counts, however long, unless the server says otherwise (docs.joinmastodon.org/user/posting/#links)."""

_ANY = r"[^\p{White_Space}<>()?]"
_BALANCED = rf"\((?:{_ANY}+|{_ANY}*\({_ANY}+\){_ANY}*)\)"
_LAST = r"""[^\p{White_Space}()?!*"'「」<>;:=,.$%\[\]~&|@]"""
_URL = regex.compile(
    r"(?<![A-Za-z0-9@＠$#＃])"
    r"https?://(?:[\p{L}\p{N}_](?:[\p{L}\p{N}_-]*[\p{L}\p{N}])?\.)+(?:\p{L}{2,}|xn--[a-z0-9-]+)(?![0-9A-Za-z@+-])"
    r"(?::[0-9]+)?"
    rf"(?:/(?:(?:{_ANY}|{_BALANCED})*(?:{_LAST}|{_BALANCED}))?)?"
    r"(?:\?[^\p{White_Space}<>\"\\{}`]*[\p{L}\p{N}_&=#/-])?",
    regex.IGNORECASE,
)
_MENTION = regex.compile(r"(?<![=/\w])(@[a-z0-9_]+(?:[.-]+[a-z0-9_]+)*)@[\w.-]+\w", regex.IGNORECASE)
_GRAPHEME = regex.compile(r"\X")


def length(text: str, *, url_characters: int = URL_CHARACTERS) -> int:
    """Characters as Mastodon counts them: graphemes; a link is ``url_characters``, @user@server is @user.

    A link whose top-level domain nobody has registered counts in full on a real server, which knows them all; there
    is none in a town's texts. A content warning is counted together with the text: ``length(warning) + length(text)``.
    """
    shortened = _MENTION.sub(r"\1", _URL.sub("x" * url_characters, text))
    return len(_GRAPHEME.findall(shortened))
