"""Pictures made ready beside the event loop: a large one takes a second or more, in which others' mails must go on.

What was begun goes on when a turn ends, and is there for the next one.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from hub import pictures
from hub.pictures import Encoded
from publishers.base import PostForm
from store.pictures import Entry

_KEPT = 48  # pictures, each of a megabyte or less


class Studio:
    """Encodes pictures in one thread and keeps the latest. One serves a process."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="pictures")
        self._made: OrderedDict[tuple[bytes, int, int], asyncio.Future[Encoded]] = OrderedDict()

    async def encoded(self, entries: Sequence[Entry], form: PostForm, *, within: float) -> list[Encoded] | None:
        """Each picture as the form wants it; None when that is not done in so many seconds. Raises BadPicture."""
        if not entries:
            return []
        futures = [self._begun(entry, form) for entry in entries]
        _, waiting = await asyncio.wait(futures, timeout=within)
        return None if waiting else [future.result() for future in futures]

    def close(self) -> None:
        """Begin nothing more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _begun(self, entry: Entry, form: PostForm) -> "asyncio.Future[Encoded]":
        key = (hashlib.sha256(entry.content).digest(), form.picture_octets, form.picture_side)
        known = self._made.get(key)
        if known is None or known.cancelled() or known.get_loop() is not asyncio.get_running_loop():
            loop = asyncio.get_running_loop()
            known = self._made[key] = loop.run_in_executor(self._thread, pictures.encoded, entry, form)
            if len(self._made) > _KEPT:
                self._made.popitem(last=False)
        self._made.move_to_end(key)
        return known
