"""The file of a backup: what goes in comes out, and nothing else does."""

import io
import stat
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launcher.backup.archive import DATABASE, MANIFEST, Manifest, Mark, manifest_of, measured, unpack, write
from launcher.backup.tools import address, find_tools
from launcher.faults import Fault

pytestmark = pytest.mark.unit


def manifest(files: dict[str, Path]) -> Manifest:
    return Manifest(
        made_at=datetime(2026, 11, 24, 12, tzinfo=UTC),
        server="18.6",
        server_major=18,
        pg_dump="18.6",
        migrations=("0001_hub.sql",),
        rows={"recipient": 3},
        files={name: measured(path) for name, path in files.items()},
    )


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    for name in ("dump", "links"):
        (tmp_path / name).write_bytes(name.encode() * 1000)
    return {DATABASE: tmp_path / "dump", "secrets/links": tmp_path / "links"}


def test_what_goes_in_comes_out(files: dict[str, Path], tmp_path: Path) -> None:
    written = manifest(files)
    write(tmp_path / "b.tar", written, files)
    read = manifest_of(tmp_path / "b.tar")
    assert read == written
    unpack(tmp_path / "b.tar", read, tmp_path / "out")
    for name, source in files.items():
        target = tmp_path / "out" / name
        assert target.read_bytes() == source.read_bytes()
        assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_file_is_whole_or_not_there(files: dict[str, Path], tmp_path: Path) -> None:
    written = manifest(files)
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "b.tar", written, {**files, "gone": tmp_path / "gone"})
    assert not list(tmp_path.glob("*b.tar*"))


def crafted(path: Path, name: str, *, link: str | None = None, files: dict[str, Path]) -> Manifest:
    """A backup that somebody else made, with a member of that name in its manifest too."""
    about = manifest({name: files[DATABASE]})
    with tarfile.open(path, "w") as tar:
        for each, content in ((MANIFEST, about.model_dump_json().encode()), (name, files[DATABASE].read_bytes())):
            entry = tarfile.TarInfo(each)
            entry.size = len(content)
            if link is not None and each == name:
                entry.type, entry.linkname, entry.size = tarfile.SYMTYPE, link, 0
            tar.addfile(entry, io.BytesIO(content))
    return about


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "secrets/../../evil", "a/b/c", "secrets/"])
def test_name_that_leads_elsewhere_is_refused(name: str, files: dict[str, Path], tmp_path: Path) -> None:
    crafted(tmp_path / "b.tar", name, files=files)
    with pytest.raises(Fault, match="damaged"):
        unpack(tmp_path / "b.tar", manifest_of(tmp_path / "b.tar"), tmp_path / "in" / "out")
    assert not list(tmp_path.rglob("evil"))


def test_link_in_place_of_a_file_is_refused(files: dict[str, Path], tmp_path: Path) -> None:
    crafted(tmp_path / "b.tar", DATABASE, link="/etc/passwd", files=files)
    with pytest.raises(Fault, match="damaged"):
        unpack(tmp_path / "b.tar", manifest_of(tmp_path / "b.tar"), tmp_path / "out")


def test_missing_file_is_told(files: dict[str, Path], tmp_path: Path) -> None:
    about = manifest(files)
    write(tmp_path / "b.tar", about, {DATABASE: files[DATABASE]})
    with pytest.raises(Fault, match="secrets/links is missing"):
        unpack(tmp_path / "b.tar", manifest_of(tmp_path / "b.tar"), tmp_path / "out")


@settings(max_examples=5, deadline=None)
@given(st.text(min_size=1, max_size=30), st.text(min_size=1, max_size=30))
def test_mark_knows_its_secret_and_does_not_tell_it(secret: str, other: str) -> None:
    mark = Mark.of(secret)
    assert mark.is_of(secret)
    assert mark.is_of(other) is (secret == other)
    assert mark != Mark.of(secret)


def test_programs_that_are_too_old_are_told_with_what_to_install() -> None:
    with pytest.raises(Fault, match=r"PostgreSQL 99 or newer .* found: \d+"):
        find_tools(99)


def test_address_without_password_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    where, environ = address("postgresql:///hub?host=/run/postgresql")
    assert where == "postgresql:///hub?host=%2Frun%2Fpostgresql"
    assert "PGPASSWORD" not in environ
