"""A storm at the providers: the sandbox is told to answer "later" to everything for a while."""

import asyncio
import json
import urllib.request


async def begin(sandbox: str, channels: frozenset[str]) -> None:
    """Have the providers of these channels refuse for now, until ``end``."""
    for provider in sorted(channels):
        fault = {"provider": provider, "kind": "throttle", "count": 1_000_000, "retry_after": 2}
        await _ask("POST", f"{sandbox}/sandbox/faults", fault)


async def end(sandbox: str) -> None:
    """Have them work again."""
    await _ask("DELETE", f"{sandbox}/sandbox/faults", None)


async def _ask(method: str, url: str, body: object) -> None:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": "application/json"})
    await asyncio.to_thread(lambda: urllib.request.urlopen(request, timeout=10).close())
