"""The file of a backup: a tar whose first member says what the others are, each with its SHA-256.

Any tar opens it: ``manifest.json``, ``database.dump`` (pg_dump's custom format), ``environment.json``,
``tambour.toml`` and ``secrets/…`` where they were asked for.
"""

import hashlib
import hmac
import io
import os
import secrets
import tarfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import IO, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from launcher.faults import Fault

MANIFEST = "manifest.json"
DATABASE = "database.dump"
_CHUNK = 1 << 20
_LARGEST_MANIFEST = 4 << 20
_SLOW = {"n": 1 << 14, "r": 8, "p": 1}  # a secret that a person chose must not be guessed from its mark


class Member(BaseModel):
    """One file of the backup."""

    model_config = ConfigDict(frozen=True)

    sha256: str
    octets: int


class Mark(BaseModel):
    """By which a secret is recognised and not told: scrypt under a salt."""

    model_config = ConfigDict(frozen=True)

    salt: str
    digest: str

    @classmethod
    def of(cls, secret: str) -> "Mark":
        """A mark of the secret."""
        salt = secrets.token_bytes(16)
        return cls(salt=salt.hex(), digest=_marked(secret, salt))

    def is_of(self, secret: str) -> bool:
        """Whether it is the same secret."""
        return hmac.compare_digest(_marked(secret, bytes.fromhex(self.salt)), self.digest)


def _marked(secret: str, salt: bytes) -> str:
    return hashlib.scrypt(secret.encode(), salt=salt, dklen=32, **_SLOW).hex()


class Manifest(BaseModel):
    """What a backup is of. ``rows`` are those of each table at ``made_at``, which is the database's time.

    ``server`` and ``pg_dump`` are versions of PostgreSQL; ``links`` marks the secret that signs links.
    """

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    made_at: datetime
    server: str
    server_major: int
    pg_dump: str
    migrations: tuple[str, ...]
    rows: Mapping[str, int]
    links: Mark | None = None
    files: Mapping[str, Member]


def measured(path: Path) -> Member:
    """Size and SHA-256 of a file."""
    with path.open("rb") as file:
        return Member(sha256=hashlib.file_digest(file, "sha256").hexdigest(), octets=path.stat().st_size)


def write(path: Path, manifest: Manifest, files: Mapping[str, Path]) -> None:
    """Write the backup beside ``path`` and rename it there once it is on the disk; readable by its owner alone.

    Raises OSError.
    """
    beside = path.with_name(f".{path.name}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as target:
            os.fchmod(target.fileno(), 0o600)
            with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as tar:
                _add(tar, MANIFEST, io.BytesIO(manifest.model_dump_json(indent=1).encode()), manifest.made_at)
                for name, source in files.items():
                    with source.open("rb") as file:
                        _add(tar, name, file, manifest.made_at)
            target.flush()
            os.fsync(target.fileno())
        beside.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _add(tar: tarfile.TarFile, name: str, file: IO[bytes], at: datetime) -> None:
    about = tarfile.TarInfo(name)
    about.size = file.seek(0, os.SEEK_END)
    file.seek(0)
    about.mode, about.mtime = 0o600, int(at.timestamp())
    tar.addfile(about, file)


def manifest_of(path: Path) -> Manifest:
    """What a backup says of itself. Raises Fault for a file that is none."""
    try:
        with tarfile.open(path, mode="r:") as tar:
            first = tar.next()
            if first is None or first.name != MANIFEST or first.size > _LARGEST_MANIFEST:
                raise _no_backup(path, "its first file is no manifest")
            file = tar.extractfile(first)
            return Manifest.model_validate_json(file.read() if file else b"")
    except OSError as error:
        raise Fault(
            f"{path} can't be read: {error.strerror or error}.", "Check its name, and who may read it."
        ) from error
    except tarfile.TarError as error:
        raise _no_backup(path, str(error)) from error
    except ValidationError as error:
        first_fault = error.errors(include_url=False)[0]
        raise _no_backup(path, f"{'.'.join(map(str, first_fault['loc']))}: {first_fault['msg']}") from error


def unpack(path: Path, manifest: Manifest, folder: Path) -> None:
    """Put every file of a backup below ``folder``, each checked against the manifest. Raises Fault for what differs."""
    missing = dict(manifest.files)
    try:
        with tarfile.open(path, mode="r:") as tar:
            for about in tar:
                if about.name == MANIFEST:
                    continue
                expected = missing.pop(about.name, None)
                source = tar.extractfile(about) if about.isreg() else None
                if expected is None or source is None or not _is_ours(about.name):
                    raise _damaged(path, f"{about.name} is not in its manifest")
                target = folder / about.name
                target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                if _copied(source, target) != expected:
                    raise _damaged(path, f"{about.name} is not what was put in")
    except tarfile.TarError as error:
        raise _damaged(path, str(error)) from error
    if missing:
        raise _damaged(path, f"{', '.join(missing)} is missing")


def _is_ours(name: str) -> bool:
    parts = name.split("/")
    return len(parts) <= 2 and all(part not in ("", ".", "..") for part in parts)


def _copied(source: IO[bytes], target: Path) -> Member:
    digest, octets = hashlib.sha256(), 0
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            octets += len(chunk)
            file.write(chunk)
    return Member(sha256=digest.hexdigest(), octets=octets)


def _no_backup(path: Path, why: str) -> Fault:
    return Fault(f"{path} is no backup of Tambour: {why}.", "./tambour backup makes them.")


def _damaged(path: Path, why: str) -> Fault:
    return Fault(
        f"{path} is damaged: {why}.", "Nothing was restored. Take another copy of this backup, or an older one."
    )
