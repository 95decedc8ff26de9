"""Signed webhooks as the Standard Webhooks specification has them (webhook-id, -timestamp, -signature v1)."""

import base64
import hashlib
import hmac
import time

import aiohttp

from sandbox.courier import NotTaken
from sandbox.journal import Line, encode


def signature(key: bytes, identity: str, timestamp: int, body: bytes) -> str:
    """``v1,`` and the base64 of HMAC-SHA256 over ``id.timestamp.body``."""
    signed = f"{identity}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


class Webhook:
    """Posts to one URL. A 2xx answer is the acknowledgement; anything else is NotTaken."""

    def __init__(self, url: str, key: bytes) -> None:
        self._url = url
        self._key = key
        self._client: aiohttp.ClientSession | None = None

    async def post(self, identity: str, content: Line) -> None:
        """Send one notification; the same identity at every try, so that the other side can deduplicate."""
        if self._client is None:
            self._client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))
        body = encode(content).rstrip(b"\n")
        timestamp = int(time.time())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": identity,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(self._key, identity, timestamp, body),
        }
        try:
            async with self._client.post(self._url, data=body, headers=headers) as answer:
                if not 200 <= answer.status < 300:
                    raise NotTaken(f"{self._url} answered {answer.status}")
        except (aiohttp.ClientError, TimeoutError) as error:
            raise NotTaken(f"{self._url}: {error!r}") from error

    async def aclose(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()
