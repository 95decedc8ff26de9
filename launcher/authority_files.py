"""An authority's codes from a file like demo/authority.toml, for checks without a database."""

from pathlib import Path

from hub.rules import Known
from launcher.faults import Fault
from publishers.registry import CHANNELS
from schemas.authority_files import AuthorityEntry, AuthorityFileInvalid, parse_authorities
from schemas.events import TYPES, template_of


def known_in(path: Path, code: str | None) -> Known:
    """The codes that the rules of an authority of the file may name. ``code`` None: of the only one that has rules.

    Raises Fault: not readable, not TOML, no such authority, or which one is not clear.
    """
    try:
        written = parse_authorities(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise Fault(f"{path} can't be read: {error}.", "Check its name, and that it is UTF-8 text.") from error
    except AuthorityFileInvalid as error:
        faults = "\n".join(f"{path}: {fault}" for fault in error.faults)
        raise Fault(faults, "Mend them there; compare with demo/authority.toml.") from error
    chosen = _chosen(path, {entry.code: entry for entry in written.authority}, code)
    return Known(
        areas=chosen.areas,
        themes=tuple(written.themes),
        channels=tuple(CHANNELS),
        templates=tuple(template_of(name) for name in TYPES),
        languages=chosen.languages,
    )


def _chosen(path: Path, entries: dict[str, AuthorityEntry], code: str | None) -> AuthorityEntry:
    if code is not None:
        if code not in entries:
            raise Fault(f"{path} has no authority {code}.", f"It has {', '.join(entries)}.")
        return entries[code]
    ruled = [entry for entry in entries.values() if entry.rules] or list(entries.values())
    if len(ruled) != 1:
        raise Fault(f"{path} has {len(ruled)} authorities.", f"Say which: --authority {' or '.join(entries)}.")
    return ruled[0]
