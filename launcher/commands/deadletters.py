"""``deadletters``: what could not be understood, why, and the way back."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from launcher.faults import Fault
from launcher.reach import database
from launcher.terminal import print_json, print_table, printable
from schemas.cloudevents import Undecodable, decode
from schemas.events import Invalid, parse
from store import deadletters
from store.database import Connection
from store.deadletters import DeadLetter

NOTHING = 3
"""Exit code: nothing by that number."""

LIST_EPILOG = "[bold]Examples[/bold]: ./tambour deadletters list · ./tambour deadletters list --state all --json"
SHOW_EPILOG = "[bold]Example[/bold]: ./tambour deadletters show 3. Exit codes: 0 shown, 1 could not, 3 no such letter."
PUT_BACK_EPILOG = (
    "[bold]Examples[/bold]: ./tambour deadletters put-back 3 · ./tambour deadletters put-back 3 --with mended.json. "
    "Exit codes: 0 put back, 1 could not, or it was not open, 2 not understood, 3 no such letter."
)


class LetterState(StrEnum):
    """Which letters to list."""

    OPEN = "open"
    PUT_BACK = "put_back"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class _Shown:
    """A letter as it is printed: everything is text."""

    id: int
    state: str
    reason: str
    detail: str
    at: datetime
    put_back_at: datetime | None
    topic: str
    partition: int
    offset: int
    key: str | None
    headers: list[list[str]]
    payload: str | None

    @classmethod
    def of(cls, letter: DeadLetter) -> "_Shown":
        return cls(
            id=letter.id,
            state=letter.state,
            reason=letter.reason,
            detail=letter.detail,
            at=letter.at,
            put_back_at=letter.put_back_at,
            topic=letter.topic,
            partition=letter.partition,
            offset=letter.offset,
            key=None if letter.key is None else _text(letter.key),
            headers=[[name, _text(value)] for name, value in letter.headers],
            payload=None if letter.value is None else _text(letter.value),
        )


def _text(raw: bytes) -> str:
    """Bytes as text; those that are none are written \\xNN."""
    return raw.decode("utf-8", "backslashreplace")


Number = Annotated[int, typer.Argument(metavar="ID", min=1, max=2**63 - 2)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Messages that could not be understood: see them, put them back.")
    group.command("list", epilog=LIST_EPILOG)(list_)
    group.command("show", epilog=SHOW_EPILOG)(show)
    group.command("put-back", epilog=PUT_BACK_EPILOG)(put_back)
    app.add_typer(group, name="deadletters")


def list_(
    state: Annotated[LetterState, typer.Option(help="Which ones.")] = LetterState.OPEN,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 100,
    before: Annotated[int | None, typer.Option(metavar="ID", help="Only older ones: the page after that one.")] = None,
    as_json: Json = False,
) -> None:
    """List dead letters, newest first."""

    async def run() -> list[DeadLetter]:
        async with database() as connection:
            wanted = None if state is LetterState.ALL else state.value
            return await deadletters.find(connection, state=wanted, before=before, limit=limit)

    found = [_Shown.of(letter) for letter in asyncio.run(run())]
    if as_json:
        return print_json(found)
    if not found:
        return typer.echo("No dead letter." if state is LetterState.ALL else f"No dead letter is {state}.")
    print_table(
        ("id", "state", "at", "topic", "reason", "detail"),
        [(one.id, one.state, f"{one.at:%Y-%m-%d %H:%M:%S} UTC", one.topic, one.reason, _brief(one)) for one in found],
    )


def _brief(letter: _Shown) -> str:
    first, *rest = letter.detail.splitlines() or [""]
    return first + (f" (and {len(rest)} more)" if rest else "")


def show(letter: Number, as_json: Json = False) -> None:
    """Show one dead letter: what is wrong and how to mend it, where it lay on Kafka, and the message itself.

    Control characters are written out, so that a hostile message can't drive your terminal.
    """

    async def run() -> DeadLetter:
        async with database() as connection:
            return await _get(connection, letter)

    found = _Shown.of(asyncio.run(run()))
    if as_json:
        return print_json(found)
    lines = [
        f"Dead letter {found.id}: {found.reason}, {found.state}",
        *(f"  {line}" for line in found.detail.splitlines()),
        f"  set aside {found.at:%Y-%m-%d %H:%M:%S} UTC",
        f"  from {found.topic}, partition {found.partition}, offset {found.offset}",
    ]
    if found.put_back_at:
        lines.append(f"  put back {found.put_back_at:%Y-%m-%d %H:%M:%S} UTC")
    if found.key is not None:
        lines.append(f"  key {found.key}")
    lines += [f"  header {name}: {value}" for name, value in found.headers]
    lines += ["", found.payload if found.payload else "(the message is empty)"]
    if found.state == LetterState.OPEN:
        lines += ["", f"Mend it in a file, then: ./tambour deadletters put-back {found.id} --with FILE"]
    typer.echo(printable("\n".join(lines)))


def put_back(
    letter: Number,
    with_: Annotated[
        Path | None, typer.Option("--with", metavar="FILE", help="The mended message, to send in its place.")
    ] = None,
    unchecked: Annotated[bool, typer.Option("--unchecked", help="Send even what would come back at once.")] = False,
    as_json: Json = False,
) -> None:
    """Send a dead letter to its topic again, mended, or as it was (when the reason lay elsewhere).

    Its key and headers stay. It is sent once, even when two people do this at the same time.

    What would be set aside again for the same kind of reason is refused, with what is still wrong.
    """
    value = None if with_ is None else _read(with_)

    async def run() -> DeadLetter:
        async with database() as connection:
            found = await _get(connection, letter)
            if found.state != LetterState.OPEN:
                raise _not_open(found)
            if not unchecked:
                _check(found, value, with_)
            async with connection.transaction():
                done = await deadletters.put_back(connection, letter, value)
            if not done:
                raise _not_open(await _get(connection, letter))
            return await _get(connection, letter)

    found = asyncio.run(run())
    if as_json:
        answer: dict[str, Any] = {
            "id": found.id,
            "state": found.state,
            "topic": found.topic,
            "mended": with_ is not None,
        }
        return print_json(answer)
    typer.echo(f"Dead letter {found.id} goes to {found.topic} again{'' if with_ is None else f', as {with_} has it'}.")


async def _get(connection: Connection, letter: int) -> DeadLetter:
    found = await deadletters.get(connection, letter)
    if found is None:
        typer.echo(f"There is no dead letter {letter}. ./tambour deadletters list shows them.", err=True)
        raise typer.Exit(NOTHING)
    return found


def _not_open(letter: DeadLetter) -> Fault:
    when = f" on {letter.put_back_at:%Y-%m-%d at %H:%M:%S} UTC" if letter.put_back_at else ""
    return Fault(
        f"Dead letter {letter.id} is not open: it was put back{when}.",
        "If it failed again, it is a new letter: ./tambour deadletters list.",
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    except OSError as error:
        raise Fault(f"{path} can't be read: {error.strerror}.", "Check its name, and that you may read it.") from error


def _check(letter: DeadLetter, value: bytes | None, path: Path | None) -> None:
    """Raises Fault when the message would be set aside again."""
    name = "It" if path is None else str(path)
    try:
        parse(decode(letter.value if value is None else value, letter.headers))
    except Undecodable as error:
        faults = [str(error)]
    except Invalid as error:
        faults = [str(fault) for fault in error.faults]
    else:
        return
    mend = "Nothing was sent. Mend it, or send it on purpose with --unchecked."
    if path is not None and any(header.lower().startswith("ce_") for header, _ in letter.headers):
        mend += (
            " This letter has its attributes in headers (binary mode): FILE holds the data alone. For a whole "
            "event, or other attributes, use ./tambour emit FILE."
        )
    if path is None:
        mend = f"Nothing was sent. Mend it in a file: ./tambour deadletters put-back {letter.id} --with FILE."
    raise Fault(printable("\n".join(f"{name}: {fault}" for fault in faults)), mend)
