"""Pictures that were uploaded to a network: kept by their digest, shown on the wall."""

import hashlib
import re
from pathlib import Path

from aiohttp import web

from sandbox.journal import Line

_DIGEST = re.compile(r"[0-9a-f]{64}")
_SIGNATURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}


def media_type(content: bytes) -> str | None:
    """What the bytes are by their signature, None when no picture that a network takes."""
    found = next((kind for signature, kind in _SIGNATURES.items() if content.startswith(signature)), None)
    return found or ("image/webp" if content[:4] == b"RIFF" and content[8:12] == b"WEBP" else None)


class Pictures:
    """A folder of pictures, each written once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def keep(self, content: bytes, alt: str) -> Line:
        """Store a picture; the value for a post's ``pictures``. ValueError when it is none."""
        kind = media_type(content)
        if kind is None:
            raise ValueError("not a PNG, JPEG, GIF or WebP picture")
        digest = hashlib.sha256(content).hexdigest()
        path = self._folder / digest
        if not path.exists():
            beside = path.with_suffix(".new")
            beside.write_bytes(content)
            beside.replace(path)
        return {"digest": digest, "media_type": kind, "alt": alt, "octets": len(content)}

    def routes(self) -> list[web.RouteDef]:
        """For the application."""
        return [web.get("/sandbox/pictures/{digest}", self.show)]

    async def show(self, request: web.Request) -> web.Response:
        """GET /sandbox/pictures/{digest}."""
        digest = request.match_info["digest"]
        path = self._folder / digest
        if not _DIGEST.fullmatch(digest) or not path.exists():
            raise web.HTTPNotFound
        content = path.read_bytes()
        headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'"}
        return web.Response(body=content, content_type=media_type(content) or "text/plain", headers=headers)
