"""Texts made to fit a network's posts: split into a thread, or shortened.

Where a text may be cut is decided on *atoms*: a web address, a number with its groups and unit ("02 61 91 00 10",
"12 h 30", "1 200,50 €"), a word. Between two atoms stands white space that may end a line; no-break spaces
don't. A cut never falls inside an atom unless the atom alone is longer than a post; then it falls between two
graphemes, and an address or a number is never cut at all.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import regex

Fits = Callable[[str], bool]
"""Whether one post can hold a text (PostForm.fits)."""

MOST_PARTS = 25
"""More is no thread any more: nobody reads it, and each part costs a post."""

_URL = r"https?://[^\s<>\"]+"
_PHONE = (
    r"(?:[+]\p{N}{2}[ \u00a0\u202f]?|0)\p{N}(?:[ \u00a0\u202f.\-]?\p{N}{2}){4}(?!\p{N})"  # else two in a row are one
)
_NUMBER = (
    r"[+]?\p{N}+(?:[.,:/'’\-\u2212]\p{N}+|[ \u00a0\u202f]\p{N}{2,3}(?!\p{N})){0,8}"
    r"(?:[ \u00a0\u202f]?(?:(?:h|km|m|cm|mm|l)\b|€|%|°C)(?:[ \u00a0\u202f]?\p{N}{2}\b)?)?"
)
_ATOM = regex.compile(rf"(?P<url>{_URL})|(?P<number>{_PHONE}|{_NUMBER})|\X")
_BREAKING = frozenset(" \t\n\r\f\v\u2028\u2029")


class CannotFit(ValueError):
    """An address or a number is longer than a post, or the text would take more than MOST_PARTS parts."""


@dataclass(frozen=True, slots=True)
class Part:
    """One post of a thread. ``body`` is a slice of the text, so that joined bodies are the text; ``shown`` is what
    is posted: the slice without the white space around it, and its counter."""

    body: str
    shown: str


def split(text: str, fits: Fits) -> tuple[Part, ...]:
    """The text as one post, or as a thread with counters "(1/3)". Raises CannotFit.

    The same text and network always give the same parts. A part ends at a paragraph if one ends in its second
    half, else at a sentence, else between two words.
    """
    if fits(text.strip()):
        return (Part(text, text.strip()),)
    pieces = _pieces(text, fits)
    for width in (1, 2):
        found = _parts(pieces, fits, "9" * width)
        if len(found) < 10**width:
            total = len(found)
            if total > MOST_PARTS:
                break
            return tuple(Part(body, _shown(body, number, str(total))) for number, body in enumerate(found, 1))
    raise CannotFit(f"it would take more than {MOST_PARTS} posts")


def shortened(text: str, tail: str, fits: Fits) -> str:
    """Text, blank line, tail; what doesn't fit is cut after a word and ends in « … ». ``tail`` is kept whole.

    Raises CannotFit when not even the tail fits.
    """
    end = f"\n\n{tail}" if tail else ""
    if fits(text.strip() + end):
        return text.strip() + end
    pieces = _pieces(text, lambda part: fits(part + "…" + end))
    count = _most(len(pieces), lambda size: fits(_clipped(pieces[:size]) + end))
    if not count:
        if not tail or not fits(tail):
            raise CannotFit("not even its link fits")
        return tail
    return _clipped(pieces[:count]) + end


def _clipped(pieces: Sequence[str]) -> str:
    return "".join(pieces).strip().rstrip(" ,;:\n.") + "…"


def _shown(body: str, number: int, total: str) -> str:
    return f"{body.strip()} ({number}/{total})"


def _parts(pieces: Sequence[str], fits: Fits, total: str) -> list[str]:
    found: list[str] = []
    start = 0
    while start < len(pieces):
        number = len(found) + 1
        if len(str(number)) > len(total):
            return [*found, *pieces[start:]]  # more parts than the counter has digits: the caller widens it
        room = len(pieces) - start
        count = _most(
            room,
            lambda size: fits(_shown("".join(pieces[start : start + size]), number, total)),  # noqa: B023
        )
        if count == 0:
            raise CannotFit("a counter leaves no room in a post")
        if count < room:
            count = _better(pieces[start : start + count])
        found.append("".join(pieces[start : start + count]))
        start += count
    return found


def _better(pieces: Sequence[str]) -> int:
    """How many of the pieces that would fit make the best part: up to a paragraph's or a sentence's end."""
    lengths = [len(piece) for piece in pieces]
    half = sum(lengths) / 2
    paragraph = sentence = 0
    passed = 0
    for index, piece in enumerate(pieces, 1):
        passed += lengths[index - 1]
        if passed < half:
            continue
        if piece.endswith("\n\n"):
            paragraph = index
        elif piece.rstrip().endswith((".", "!", "?", "…", "»")) or piece.endswith("\n"):
            sentence = index
    return paragraph or sentence or len(pieces)


def _most(limit: int, holds: Callable[[int], bool]) -> int:
    """The greatest size up to ``limit`` that holds, 0 when none does; larger sizes than one that fails fail too."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        if holds(middle):
            low = middle
        else:
            high = middle - 1
    return low


def _pieces(text: str, fits: Fits) -> list[str]:
    """The text cut wherever it may be: each piece is an unbreakable run and the white space after it."""
    pieces: list[str] = []
    run: list[str] = []
    space: list[str] = []

    def close() -> None:
        whole = "".join(run)
        if run and not fits(f"{whole} (99/99)"):
            pieces.extend(run[:-1])
            whole = run[-1]
        pieces.append(whole + "".join(space))
        run.clear()
        space.clear()

    for match in _ATOM.finditer(text):
        atom = match[0]
        if all(character in _BREAKING for character in atom):
            space.append(atom)
            continue
        if space:
            close()
        if run and _continues(run[-1], atom):
            run[-1] += atom
        else:
            run.append(atom)
        if not fits(f"{run[-1]} (99/99)"):
            raise CannotFit(f"{run[-1][:60]}… alone is longer than a post")
    if run or space:
        close()
    return pieces


def _continues(before: str, atom: str) -> bool:
    """Whether the atom begins within the last grapheme of what stands before it (a keycap is a digit and marks)."""
    return len(regex.findall(r"\X", before[-1] + atom[0])) == 1
