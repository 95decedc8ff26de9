"""An authority's codes from a file like demo/authority.toml, for checks without a database."""

import tomllib
from pathlib import Path
from typing import Any

from hub.rules import Known
from launcher.faults import Fault
from publishers.registry import CHANNELS
from schemas.events import TYPES, template_of


def known_in(path: Path, code: str | None) -> Known:
    """The codes that the rules of an authority of the file may name. ``code`` None: of the only one that has rules.

    Raises Fault: not readable, not TOML, no such authority, or which one is not clear.
    """
    try:
        written: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Fault(f"{path} can't be read: {error.strerror}.", "Check its name, and that you may read it.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Fault(f"{path} is not TOML: {error}.", "Compare with demo/authority.toml.") from error
    try:
        entries = {entry["code"]: entry for entry in written["authority"]}
        chosen = _chosen(path, entries, code)
        return Known(
            areas=dict(chosen["areas"]),
            themes=tuple(written["themes"]),
            channels=tuple(CHANNELS),
            templates=tuple(template_of(name) for name in TYPES),
            languages=tuple(chosen["languages"]),
        )
    except KeyError as error:
        raise Fault(f"{path}: {error.args[0]} is missing.", "Compare with demo/authority.toml.") from error
    except (TypeError, ValueError) as error:
        raise Fault(f"{path} is not written as expected: {error}.", "Compare with demo/authority.toml.") from error


def _chosen(path: Path, entries: dict[str, Any], code: str | None) -> Any:
    if code is not None:
        if code not in entries:
            raise Fault(f"{path} has no authority {code}.", f"It has {', '.join(entries)}.")
        return entries[code]
    ruled = [entry for entry in entries.values() if "rules" in entry] or list(entries.values())
    if len(ruled) != 1:
        raise Fault(f"{path} has {len(ruled)} authorities.", f"Say which: --authority {' or '.join(entries)}.")
    return ruled[0]
