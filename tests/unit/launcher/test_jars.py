"""The lock of Kafka's jars, and what happens when a repository does not serve what it names."""

import errno
import hashlib
from pathlib import Path

import pytest

from launcher.embedded.jars import Jar, WrongJar, fetch_jars, read_lock
from launcher.faults import Fault

pytestmark = pytest.mark.unit

CONTENT = b"a jar"
JAR = Jar("org.example", "thing", "1.0", hashlib.sha256(CONTENT).hexdigest())


def serving(content: bytes, calls: list[Jar] | None = None):
    def download(jar: Jar, folder: Path) -> Path:
        if calls is not None:
            calls.append(jar)
        path = folder / f"{jar.artifact}.part"
        path.write_bytes(content)
        return path

    return download


def test_committed_lock_names_kafka_4_3_with_a_hash_for_every_jar_and_no_address() -> None:
    jars = read_lock()
    text = (Path(__file__).parents[3] / "launcher" / "embedded" / "kafka.lock").read_text()
    broker = next(jar for jar in jars if jar.artifact == "kafka_2.13")
    clients = next(jar for jar in jars if jar.artifact == "kafka-clients")
    assert broker.version.startswith("4.3.")
    assert clients.version == broker.version
    assert len({jar.file for jar in jars}) == len(jars) > 30
    assert "://" not in text


def test_lock_that_cannot_be_read_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.lock"
    path.write_text("# head\norg.example:thing:1.0\n")
    with pytest.raises(Fault, match=r"bad\.lock:2"):
        read_lock(path)


def test_fetched_jar_is_kept_and_not_fetched_again(tmp_path: Path) -> None:
    calls: list[Jar] = []
    for _ in range(2):
        (path,) = fetch_jars(tmp_path / "jars", [JAR], download=serving(CONTENT, calls))
    assert path.read_bytes() == CONTENT
    assert calls == [JAR]


def test_jar_with_another_hash_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(WrongJar) as caught:
        fetch_jars(tmp_path, [JAR], download=serving(b"something else"))
    assert "org.example:thing:1.0" in str(caught.value)
    assert JAR.sha256 in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_no_network_is_said_with_the_ways_to_mend_it(tmp_path: Path) -> None:
    def download(jar: Jar, folder: Path) -> Path:
        raise ConnectionError("name resolution failed")

    with pytest.raises(Fault, match="first start needs the network"):
        fetch_jars(tmp_path, [JAR], download=download)


def test_full_disk_is_said_as_such(tmp_path: Path) -> None:
    def download(jar: Jar, folder: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(Fault, match="disk is full"):
        fetch_jars(tmp_path, [JAR], download=download)


def test_what_a_killed_fetch_left_is_removed_by_the_next(tmp_path: Path) -> None:
    (tmp_path / ".fetch-killed").mkdir()
    (tmp_path / ".fetch-killed" / "half.jar").write_bytes(b"hal")
    fetch_jars(tmp_path, [JAR], download=serving(CONTENT))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", JAR.file]
