"""What an account server checks of a Bluesky post, and the identifiers that it makes (atproto.com/specs)."""

import base64
import binascii
import hashlib
import json
import re
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import regex

COLLECTION = "app.bsky.feed.post"
GRAPHEMES, OCTETS, PICTURES, PICTURE_OCTETS = 300, 3000, 4, 2_000_000
BLOB_OCTETS = 5 << 20
"""Of an upload, whatever it is for."""

_ALPHABET = "234567abcdefghijklmnopqrstuvwxyz"
_TID = re.compile(r"[234567abcdefghij][234567abcdefghijklmnopqrstuvwxyz]{12}")
_HANDLE = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*")
_DAG_CBOR, _RAW = 0x71, 0x55


def is_handle(text: str) -> bool:
    """Whether it is a handle, in small letters."""
    return _HANDLE.fullmatch(text) is not None


def did(handle: str) -> str:
    """An account's DID: follows from its first handle here, so that no restart changes it."""
    return "did:plc:" + _base32(hashlib.sha256(handle.encode()).digest())[:24]


def account(handle: str) -> str:
    """The name under which the journal and the wall have an account: its handle's first label."""
    return handle.partition(".")[0].replace("-", "_")


def record_cid(record: Any) -> str:
    """A version's CID. Of the JSON, where a real server takes the CBOR: as good for telling versions apart."""
    return _cid(_DAG_CBOR, json.dumps(record, sort_keys=True, ensure_ascii=True).encode())


def blob_cid(content: bytes) -> str:
    """A file's CID, as a real server makes it."""
    return _cid(_RAW, content)


def new_key() -> str:
    """A TID of this moment."""
    number = time.time_ns() // 1000 << 10
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(60, -1, -5))


def token(kind: str, handle: str, lifetime: float) -> str:
    """A session's token; ``kind`` is access or refresh. Not signed: whoever reaches the sandbox may do anything."""
    payload = json.dumps({"kind": kind, "handle": handle, "exp": time.time() + lifetime})
    return base64.urlsafe_b64encode(payload.encode()).decode().rstrip("=")


def holder(kind: str, text: str) -> tuple[str, bool]:
    """Whose token it is, and whether it has expired. Raises ValueError when it is none of that kind."""
    try:
        payload = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if payload["kind"] != kind:
            raise ValueError(f"Bad token scope: {payload['kind']}")
        return payload["handle"], payload["exp"] <= time.time()
    except (binascii.Error, KeyError, TypeError, UnicodeDecodeError) as error:
        raise ValueError("Token could not be verified") from error


def fault(key: Any, record: Any) -> str | None:
    """Why a server refuses the record under that key; None when it takes it."""
    if not isinstance(key, str) or not _TID.fullmatch(key):
        return f"Invalid record key for {COLLECTION}: not a TID"
    if not isinstance(record, dict) or record.get("$type", COLLECTION) != COLLECTION:
        return f"Invalid $type: expected {COLLECTION}"
    found = _text_fault(record.get("text")) or _head_fault(record) or _embed_fault(record.get("embed"))
    return f"Invalid {COLLECTION} record: {found}" if found else None


def _text_fault(text: Any) -> str | None:
    if not isinstance(text, str):
        return "text must be a string"
    if len(text.encode("utf-8", "surrogatepass")) > OCTETS:
        return f"text must not be longer than {OCTETS} bytes"
    if len(regex.findall(r"\X", text)) > GRAPHEMES:
        return f"text must not be longer than {GRAPHEMES} graphemes"
    return None


def _head_fault(record: Mapping[str, Any]) -> str | None:
    languages = record.get("langs", [])
    if not isinstance(languages, list) or len(languages) > 3 or not all(_is_language(each) for each in languages):
        return "langs must be at most 3 languages"
    try:
        if datetime.fromisoformat(record["createdAt"]).tzinfo is None:
            return "createdAt must have a zone"
    except (KeyError, TypeError, ValueError):
        return "createdAt must be an ISO 8601 date and time"
    for facet in record.get("facets", []):
        index = facet.get("index", {}) if isinstance(facet, dict) else {}
        if not all(isinstance(index.get(name), int) and index[name] >= 0 for name in ("byteStart", "byteEnd")):
            return "a facet's index must have byteStart and byteEnd"
    reply = record.get("reply")
    if reply is not None and not all(_is_reference(reply.get(name)) for name in ("root", "parent")):
        return "reply must have a uri and a cid of root and parent"
    return None


def _embed_fault(embed: Any) -> str | None:
    if embed is None:
        return None
    if embed.get("$type") == "app.bsky.embed.external":
        card = embed.get("external", {})
        missing = [name for name in ("uri", "title", "description") if not isinstance(card.get(name), str)]
        return f"external lacks {', '.join(missing)}" if missing else None
    images = embed.get("images", [])
    if len(images) > PICTURES:
        return f"embed.images must not have more than {PICTURES} elements"
    for image in images:
        if not isinstance(image.get("alt"), str):
            return "an image must have an alt"
        if image["image"]["size"] > PICTURE_OCTETS:
            return f"an image must not be larger than {PICTURE_OCTETS} bytes"
    return None


def _is_language(each: Any) -> bool:
    return isinstance(each, str) and _LANGUAGE.fullmatch(each) is not None


def _is_reference(each: Any) -> bool:
    return isinstance(each, dict) and str(each.get("uri", "")).startswith("at://") and bool(each.get("cid"))


def _cid(codec: int, content: bytes) -> str:
    return "b" + _base32(bytes((1, codec, 0x12, 32)) + hashlib.sha256(content).digest())


def _base32(content: bytes) -> str:
    return base64.b32encode(content).decode().rstrip("=").lower()
