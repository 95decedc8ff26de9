"""``rules``: check an authority's rules file, and put it to use."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from hub.intake import known_to
from hub.rules import Known, Rules, RulesInvalid, parse_rules
from launcher.authority_files import known_in
from launcher.faults import Fault
from launcher.reach import database
from launcher.terminal import print_json, printable
from store import authorities, condition
from store.authorities import Authority
from store.database import Connection

CHECK_EPILOG = (
    "[bold]Examples[/bold]: ./tambour rules check rules.csv --authority 96001 · ./tambour rules check demo/rules.csv "
    "--authority-file demo/authority.toml. Exit codes: 0 no fault, 1 faults, or could not, 2 not understood."
)
IMPORT_EPILOG = (
    "[bold]Example[/bold]: ./tambour rules import rules.csv --authority 96001. "
    "Exit codes: 0 imported, 1 faults, or could not, 2 not understood."
)

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="CSV with semicolons: docs/events.md.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@dataclass(frozen=True, slots=True)
class FaultLine:
    """One fault, as JSON has it."""

    file: str
    line: int
    reason: str
    mend: str | None = None

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}" + (f". {self.mend}" if self.mend else "")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Check and import the rules: which announcement goes where.")
    group.command("check", epilog=CHECK_EPILOG)(check)
    group.command("import", epilog=IMPORT_EPILOG)(import_)
    app.add_typer(group, name="rules")


def check(
    file: FileArgument,
    authority: Annotated[str | None, typer.Option(metavar="CODE", help="Whose rules they are.")] = None,
    authority_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Its areas and themes, instead of the database's.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Tell every fault of a rules file, and of the templates, with file and line. Changes nothing."""
    text = _read(file)
    known = asyncio.run(_known(authority)) if authority_file is None else known_in(authority_file, authority)
    rules, faults = _faults(file, text, known)
    if as_json:
        print_json({"rules": len(rules.rules) if rules else 0, "faults": faults})
        raise typer.Exit(1 if faults else 0)
    _refuse(faults, "Mend them there; docs/events.md says how rules are written.")
    assert rules is not None  # without faults there are rules
    typer.echo(f"{file}: {len(rules.rules)} rules, no fault. The templates have none either.")


def import_(
    file: FileArgument,
    authority: Annotated[str, typer.Option(metavar="CODE", help="Whose rules they are.")],
    as_json: Json = False,
) -> None:
    """Check a rules file and make it the authority's: the next event is routed by it.

    Imported whole or not at all. What was announced before is not changed.
    """
    count = asyncio.run(_import(file, _read(file), authority))
    if as_json:
        print_json({"authority": authority, "file": file.name, "rules": count})
    else:
        typer.echo(f"{authority} now has the {count} rules of {file.name}.")


async def _known(code: str | None) -> Known:
    async with database() as connection:
        if code is None:
            known = [one.code for one in await condition.authorities(connection)]
            if len(known) != 1:
                mend = f"Say whose rules they are: --authority {' or '.join(known)}." if known else "Create one first."
                raise Fault(f"There are {len(known)} authorities here.", mend)
            code = known[0]
        return known_to(await _authority(connection, code))


async def _authority(connection: Connection, code: str) -> Authority:
    found = await authorities.find(connection, code)
    if found is None:
        known = ", ".join(one.code for one in await condition.authorities(connection)) or "none yet"
        raise Fault(f"There is no authority {code!r} here.", f"There are: {known}.")
    return found


async def _import(file: Path, text: str, code: str) -> int:
    async with database() as connection, connection.transaction():
        authority = await _authority(connection, code)
        rules, faults = _faults(file, text, known_to(authority))
        _refuse(faults, "Nothing was imported. Mend them there.")
        assert rules is not None  # without faults there are rules
        await authorities.save_rules(connection, authority.id, file.name, text)
        return len(rules.rules)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise Fault(f"{file} can't be read: {error.strerror}.", "Check its name, and that you may read it.") from error
    except UnicodeDecodeError as error:
        raise Fault(
            f"{file}: byte {error.start} is not UTF-8.", "Save the sheet as “CSV UTF-8”, with semicolons."
        ) from error


def _faults(file: Path, text: str, known: Known) -> tuple[Rules | None, list[FaultLine]]:
    """The rules, None when they have faults; and every fault, of the templates too."""
    from hub.rendering import Renderer  # Jinja2 and Babel: only when templates are looked at

    faults: list[FaultLine] = []
    rules = None
    try:
        rules = parse_rules(text, str(file), known)
    except RulesInvalid as error:
        faults += (FaultLine(one.filename, one.line, one.reason, one.mend) for one in error.faults)
    renderer = Renderer()
    faults += (FaultLine(f"{renderer.folder.name}/{one.file}", one.line, one.reason) for one in renderer.check())
    return rules, faults


def _refuse(faults: list[FaultLine], mend: str) -> None:
    if faults:
        raise Fault(printable("\n".join(map(str, faults))), f"{len(faults)} fault(s). {mend}")
