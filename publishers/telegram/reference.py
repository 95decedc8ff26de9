"""How we refer to a message of Telegram: "CHAT:ID", an album "CHAT:ID,ID…", with pictures "…#digest"."""

import re
from dataclasses import dataclass

from pydantic import BaseModel

from publishers.base import Permanent

_REFERENCE = re.compile(r"(?P<chat>-?\d{1,20}):(?P<messages>\d{1,20}(?:,\d{1,20})*)(?:#(?P<pictures>[0-9a-f]+))?")


class Chat(BaseModel):
    """The chat of a message, as the Bot API describes it; public ones have a ``username``."""

    id: int
    username: str | None = None

    def address(self, web: str, message: int) -> str | None:
        """Where readers find a message; None in a private chat."""
        return f"{web}/{self.username}/{message}" if self.username else None


@dataclass(frozen=True, slots=True)
class Reference:
    """``messages`` are those of an album, the first has the text; ``pictures`` tells them from others."""

    chat: int
    messages: tuple[int, ...]
    pictures: str = ""

    def __str__(self) -> str:
        of_pictures = f"#{self.pictures}" if self.pictures else ""
        return f"{self.chat}:{','.join(map(str, self.messages))}{of_pictures}"

    @classmethod
    def of(cls, text: str) -> "Reference":
        """What ``str`` made. Raises Permanent ("reference") for anything else."""
        read = _REFERENCE.fullmatch(text)
        if read is None:
            raise Permanent(f"{text!r} is no reference to a message of Telegram", code="reference")
        messages = tuple(int(each) for each in read["messages"].split(","))
        return cls(int(read["chat"]), messages, read["pictures"] or "")
