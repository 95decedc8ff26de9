"""Jars under a lock: each pinned by its SHA-256, fetched by jgo from Maven repositories, shared by every start.

``python -m launcher.embedded.jars > launcher/embedded/kafka.lock`` writes the lock anew.
"""

import errno
import hashlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from launcher.faults import Fault
from launcher.home import locked, make_folder, unwritable

# The exclamation mark keeps jgo from reading Log4j's POM as a bill of materials: it would pin an old kafka-clients.
ROOTS = ("org.apache.kafka:kafka_2.13:4.3.1", "org.apache.logging.log4j:log4j-slf4j-impl:2.26.1!")
LOCK = Path(__file__).with_name("kafka.lock")

_LINE = re.compile(r"(?P<group>\S+):(?P<artifact>\S+):(?P<version>\S+) sha256:(?P<sha256>[0-9a-f]{64})")


@dataclass(frozen=True)
class Jar:
    """One line of the lock: ``group:artifact:version sha256:<hex>``."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file(self) -> str:
        return f"{self.artifact}-{self.version}.jar"

    def __str__(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"


Download = Callable[[Jar, Path], Path]
"""Fetches one jar below a private folder and returns its path. Raises OSError (network, disk) or RuntimeError."""


class WrongJar(Fault):
    """What a repository served is not what the lock names: it is not used."""


def read_lock(path: Path = LOCK) -> tuple[Jar, ...]:
    """The jars of a lock, in its order. Raises Fault naming the line that cannot be read."""
    jars = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise Fault(f"{path}:{number}: expected “group:artifact:version sha256:…”.")
        jars.append(Jar(**match.groupdict()))
    return tuple(jars)


def download_with_jgo(jar: Jar, folder: Path) -> Path:
    """Fetch ``jar`` from Maven Central, or from the repositories of jgo's own settings file (a mirror)."""
    # Loaded only when something is missing: it costs a second.
    from jgo.config import GlobalSettings
    from jgo.maven import MavenContext

    mirrors = GlobalSettings.load().repositories
    context = MavenContext(repo_cache=folder, remote_repos=mirrors or None, timeout=60)
    path: Path = context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
    return path


def fetch_jars(
    folder: Path,
    jars: Iterable[Jar],
    *,
    download: Download = download_with_jgo,
    say: Callable[[str], None] = lambda text: None,
) -> list[Path]:
    """The paths of ``jars`` in ``folder``, after fetching and verifying those that are missing.

    A jar is renamed into place only once its hash is right, so that what is there can be trusted, whenever a
    former fetch was killed. Raises WrongJar, or Fault without network or disk space.
    """
    wanted = list(jars)
    paths = [folder / jar.file for jar in wanted]
    if all(path.exists() for path in paths):
        return paths
    make_folder(folder)
    with locked(folder / ".lock"):
        for left in folder.glob(".fetch-*"):
            shutil.rmtree(left)
        missing = [(jar, path) for jar, path in zip(wanted, paths, strict=True) if not path.exists()]
        if missing:
            say(f"Fetching Apache Kafka: {len(missing)} jars, once")
            _fetch(folder, missing, download, say)
    return paths


def _fetch(folder: Path, missing: list[tuple[Jar, Path]], download: Download, say: Callable[[str], None]) -> None:
    def fetch(item: tuple[Jar, Path]) -> Jar:
        jar, path = item
        try:
            got = download(jar, staging)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):  # ours, not the network
                raise unwritable(folder, error) from error
            raise Fault(
                f"Cannot fetch {jar} from the Maven repository: {error}.",
                "The first start needs the network; later ones do not. Behind a proxy, set HTTPS_PROXY;"
                " with a mirror, name it under [repositories] in ~/.config/jgo.conf.",
            ) from error
        except RuntimeError as error:
            raise Fault(f"The Maven repository has no {jar}: {error}.") from error
        found = hashlib.sha256(got.read_bytes()).hexdigest()
        if found != jar.sha256:
            raise WrongJar(
                f"{jar} is not the file that the lock names: SHA-256 {found}, expected {jar.sha256}.",
                f"It was not used. Either the repository (or a proxy) serves another file, or {LOCK} is wrong.",
            )
        os.replace(got, path)
        return jar

    with (
        tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as name,
        ThreadPoolExecutor(max_workers=6) as pool,
    ):
        staging = Path(name)
        try:
            for count, jar in enumerate(pool.map(fetch, missing), 1):
                say(f"  {count}/{len(missing)} {jar.file}")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def resolve_lock(roots: Iterable[str] = ROOTS) -> str:
    """The text of a lock for ``roots`` and all that they need at run time."""
    from jgo.maven import MavenContext

    with tempfile.TemporaryDirectory() as name:
        context = MavenContext(repo_cache=Path(name), timeout=60)
        inputs, transitive = context.resolver.resolve([context.create_dependency(root) for root in roots])
        found = {f"{d.groupId}:{d.artifactId}:{d.version}": d for d in [*inputs, *transitive] if not d.optional}
        lines = [
            f"{key} sha256:{hashlib.sha256(found[key].artifact.resolve().read_bytes()).hexdigest()}"
            for key in sorted(found)
        ]
    head = "# Written by `python -m launcher.embedded.jars`; every jar is checked against its line when fetched."
    return "\n".join([head, *lines, ""])


if __name__ == "__main__":
    sys.stdout.write(resolve_lock())
