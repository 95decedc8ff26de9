"""How processes find their settings: variables, remembered in the home so that other commands find them too.

No secret is in a variable or in the remembered file, only the paths of files that hold them, readable by their
owner alone.
"""

import json
import os
import secrets
import tomllib
from collections.abc import Mapping
from pathlib import Path

from hub.settings import Settings, SettingsInvalid, load
from launcher.faults import Fault
from launcher.home import Home, find_home, make_folder


def remember(home: Home, variables: Mapping[str, str]) -> None:
    """Write the variables that the processes of this home are started with."""
    make_folder(home.folder)
    path = _file(home)
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(dict(variables), indent=1, sort_keys=True), encoding="utf-8")
    beside.chmod(0o600)
    beside.replace(path)


def secret_file(home: Home, name: str, text: str | None = None) -> Path:
    """A file under ``secrets/`` with ``text``, or with a random secret that stays the same from then on."""
    path = make_folder(home.folder / "secrets") / name
    if text is None and path.exists():
        return path
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text if text is not None else secrets.token_urlsafe(32))
    return path


def homes(environ: Mapping[str, str] = os.environ) -> tuple[Home, Home]:
    """The home of ``up`` and that of ``demo``, which lies inside it."""
    home = find_home(environ)
    return home, Home(home.folder / "demo")


def settings_for_commands(environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings of whatever runs here: the environment, over what a running ``up`` or ``demo`` remembered.

    A demo counts only while it runs. Raises Fault with every fault of the settings.
    """
    home, demo = homes(environ)
    remembered: dict[str, str] = {}
    for candidate in (demo, home):
        if _file(candidate).exists() and (candidate is home or _runs(candidate)):
            remembered = json.loads(_file(candidate).read_text(encoding="utf-8"))
            break
    return settings_of({**remembered, **environ})


def settings_of(environ: Mapping[str, str]) -> Settings:
    """Settings from variables and the file that TAMBOUR_SETTINGS names (default: tambour.toml here, if any)."""
    named = environ.get("TAMBOUR_SETTINGS")
    path = Path(named) if named else Path("tambour.toml")
    try:
        return load(path if named or path.exists() else None, environ)
    except SettingsInvalid as error:
        faults = "\n".join(f"  - {fault}" for fault in error.faults)
        raise Fault(
            f"The settings have {len(error.faults)} fault(s):\n{faults}",
            "Mend them in tambour.toml or the variables named (docs/operations.md lists all). Without a running "
            "`./tambour up` or `./tambour demo` here, commands need TAMBOUR_DATABASE and TAMBOUR_KAFKA.",
        ) from error


def named_elsewhere(own: Mapping[str, str]) -> tuple[bool, bool]:
    """Whether Kafka and the database are named by the town, in variables or in its settings file."""
    return set_by_town("TAMBOUR_KAFKA", own), set_by_town("TAMBOUR_DATABASE", own)


def set_by_town(variable: str, own: Mapping[str, str]) -> bool:
    """Whether the town gives a setting itself, in a variable or its settings file. Raises Fault for a broken file."""
    stem = variable.removesuffix("_FILE")
    if any(name == stem or name == f"{stem}_FILE" or name.startswith(f"{stem}__") for name in own):
        return True
    path = Path(own.get("TAMBOUR_SETTINGS", "tambour.toml"))
    if not path.exists():
        return False
    try:
        branch: object = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Fault(f"{path} can't be read as TOML: {error}.", "Mend it there.") from error
    for step in stem.removeprefix("TAMBOUR_").lower().split("__"):
        if not isinstance(branch, dict) or not (step in branch or f"{step}_file" in branch):
            return False
        branch = branch.get(step)
    return True


def _file(home: Home) -> Path:
    return home.folder / "environment.json"


def _runs(home: Home) -> bool:
    try:
        return bool((home.run / "supervisor.pid").read_text().strip())
    except FileNotFoundError:
        return False
