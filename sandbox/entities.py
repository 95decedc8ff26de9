"""The JSON entities of the Mastodon API (docs.joinmastodon.org/entities), version 4.3."""

import hashlib
import html
import re

import regex

from sandbox.journal import Line

MAX_CHARACTERS = 500
URL_CHARACTERS = 23
VERSION = "4.3.2"

_EPOCH = "2025-01-01T00:00:00.000Z"
_URL = re.compile(r"https?://[^\s<>\"]+[^\s<>\".,;:!?)»]")
_MENTION = re.compile(r"(@\w+)@[\w.-]+\w")
_GRAPHEME = regex.compile(r"\X")
_TAG = re.compile(r"(?<![\w/&])#(\w*[^\W\d_]\w*)")


def length(text: str) -> int:
    """Characters as Mastodon counts them: a link is 23, a mention loses its server; else grapheme clusters."""
    return len(_GRAPHEME.findall(_MENTION.sub(r"\1", _URL.sub("x" * URL_CHARACTERS, text))))


def content(text: str, base: str) -> str:
    """The HTML that Mastodon makes of a plain text: paragraphs, line breaks, links and hashtags."""
    paragraphs = re.split(r"\n{2,}", text.replace("\r\n", "\n").strip())
    return "".join(f"<p>{_inline(part, base)}</p>" for part in paragraphs)


def _inline(text: str, base: str) -> str:
    pieces, position = [], 0
    for match in _URL.finditer(text):
        pieces.append(_tags(text[position : match.start()], base))
        url = html.escape(match[0])
        shown = html.escape(match[0].split("://", 1)[1])
        pieces.append(f'<a href="{url}" target="_blank" rel="nofollow noopener" translate="no">{shown}</a>')
        position = match.end()
    pieces.append(_tags(text[position:], base))
    return "".join(pieces).replace("\n", "<br />")


def _tags(text: str, base: str) -> str:
    link = rf'<a href="{base}/wall" class="mention hashtag" rel="tag">#<span>\1</span></a>'
    return _TAG.sub(link, html.escape(text, quote=False))


def account_id(account: str) -> str:
    """An account's number: follows from its name, so that no restart changes it."""
    return str(int.from_bytes(hashlib.blake2b(account.encode(), digest_size=7).digest(), "big"))


def account(name: str, base: str, statuses: int) -> Line:
    """Account."""
    picture = f"{base}/static/account.svg"
    return {
        "id": account_id(name),
        "username": name,
        "acct": name,
        "display_name": name.replace("_", " ").title(),
        "locked": False,
        "bot": False,
        "discoverable": True,
        "indexable": False,
        "group": False,
        "created_at": _EPOCH,
        "note": "<p>Compte fictif du bac à sable</p>",
        "url": f"{base}/@{name}",
        "uri": f"{base}/users/{name}",
        "avatar": picture,
        "avatar_static": picture,
        "header": picture,
        "header_static": picture,
        "followers_count": 0,
        "following_count": 0,
        "statuses_count": statuses,
        "last_status_at": None,
        "hide_collections": False,
        "noindex": True,
        "emojis": [],
        "roles": [],
        "fields": [],
    }


def status(line: Line, base: str, author: Line) -> Line:
    """Status."""
    name, identity = line["account"], line["id"]
    return {
        "id": identity,
        "created_at": line["created_at"],
        "in_reply_to_id": line["in_reply_to_id"],
        "in_reply_to_account_id": author["id"] if line["in_reply_to_id"] else None,
        "sensitive": line["sensitive"],
        "spoiler_text": line["spoiler_text"],
        "visibility": line["visibility"],
        "language": line["language"],
        "uri": f"{base}/users/{name}/statuses/{identity}",
        "url": f"{base}/@{name}/{identity}",
        "replies_count": 0,
        "reblogs_count": 0,
        "favourites_count": 0,
        "edited_at": line["edited_at"],
        "favourited": False,
        "reblogged": False,
        "muted": False,
        "bookmarked": False,
        "pinned": False,
        "content": content(line["text"], base),
        "filtered": [],
        "reblog": None,
        "application": {"name": "sandbox", "website": None},
        "account": author,
        "media_attachments": [attachment(picture, base) for picture in line.get("pictures") or []],
        "mentions": [],
        "tags": [{"name": tag.lower(), "url": f"{base}/wall"} for tag in dict.fromkeys(_TAG.findall(line["text"]))],
        "emojis": [],
        "card": None,
        "poll": None,
    }


def attachment(picture: Line, base: str, *, processed: bool = True) -> Line:
    """MediaAttachment; its addresses come with the processing."""
    url = f"{base}/sandbox/pictures/{picture['digest']}" if processed else None
    focus = [float(part) for part in (picture.get("focus") or "0,0").split(",")]
    return {
        "id": picture["media_id"],
        "type": "image",
        "url": url,
        "preview_url": url,
        "remote_url": None,
        "meta": {"focus": {"x": focus[0], "y": focus[1]}},
        "description": picture["alt"],
        "blurhash": None,
    }


def _configuration() -> Line:
    return {
        "statuses": {
            "max_characters": MAX_CHARACTERS,
            "max_media_attachments": 4,
            "characters_reserved_per_url": URL_CHARACTERS,
        },
        "media_attachments": {
            "supported_mime_types": ["image/jpeg", "image/png", "image/gif", "image/webp"],
            "description_limit": 1500,
            "image_size_limit": 16_777_216,
            "image_matrix_limit": 33_177_600,
            "video_size_limit": 103_809_024,
            "video_frame_rate_limit": 120,
            "video_matrix_limit": 8_294_400,
        },
        "polls": {
            "max_options": 4,
            "max_characters_per_option": 50,
            "min_expiration": 300,
            "max_expiration": 2_629_746,
        },
        "accounts": {"max_featured_tags": 10, "max_pinned_statuses": 5},
    }


def instance_v1(base: str, accounts: int, statuses: int) -> Line:
    """V1::Instance."""
    return {
        "uri": base.split("://", 1)[1],
        "title": "Mur social (bac à sable)",
        "short_description": "Un serveur fictif, pour essayer sans rien publier.",
        "description": "Un serveur fictif, pour essayer sans rien publier.",
        "email": "contact@sandbox.example",
        "version": VERSION,
        "urls": {"streaming_api": base.replace("http", "ws", 1)},
        "stats": {"user_count": accounts, "status_count": statuses, "domain_count": 1},
        "thumbnail": f"{base}/static/account.svg",
        "languages": ["fr"],
        "registrations": False,
        "approval_required": False,
        "invites_enabled": False,
        "configuration": _configuration(),
        "contact_account": None,
        "rules": [],
    }


def instance_v2(base: str, accounts: int) -> Line:
    """Instance."""
    urls = {"streaming": base.replace("http", "ws", 1), "status": None}
    return {
        "domain": base.split("://", 1)[1],
        "title": "Mur social (bac à sable)",
        "version": VERSION,
        "source_url": "https://github.com/mastodon/mastodon",
        "description": "Un serveur fictif, pour essayer sans rien publier.",
        "usage": {"users": {"active_month": accounts}},
        "thumbnail": {"url": f"{base}/static/account.svg", "blurhash": None, "versions": {}},
        "icon": [],
        "languages": ["fr"],
        "configuration": {
            "urls": urls,
            "vapid": {"public_key": ""},
            **_configuration(),
            "translation": {"enabled": False},
        },
        "registrations": {"enabled": False, "approval_required": False, "message": None, "url": None},
        "api_versions": {"mastodon": 2},
        "contact": {"email": "contact@sandbox.example", "account": None},
        "rules": [],
    }
