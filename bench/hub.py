"""A whole hub in a home of its own, its workers under the sampler; gone afterwards, unless something went wrong."""

import asyncio
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from sys import executable

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from bench import sampled, statements
from bench.report import Round
from bench.usage import Watch
from hub.settings import Settings
from launcher.console import say, tell
from launcher.embedded.postgres import Postgres
from launcher.environment import settings_of
from launcher.faults import Fault
from launcher.home import Home, find_home, make_folder
from launcher.ports import Ports
from launcher.programs import Program
from launcher.reach import quiet_kafka
from launcher.stack import Stack
from launcher.supervisor import Supervisor
from store.database import connect
from streams.app import client_options
from streams.worker import ROLES

_READY_WITHIN_S = 90.0


class SampledStack(Stack):
    """The stack as it always is, but that workers start under the sampler, and PostgreSQL counts its statements."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.postgres = Postgres(self.home.postgres, self.ports.postgres, settings=statements.SETTINGS)

    @property
    def samples(self) -> Path:
        """Where the workers' samples are, one file a program."""
        return self.home.folder / "samples"

    def worker(self, role: str) -> Program:
        """A worker process that counts where its processor time goes."""
        return self.numbered(role, 1)

    def numbered(self, role: str, number: int) -> Program:
        """The ``number``-th worker of a role, with a folder of its own from the second on."""
        plain = super().worker(role)
        name = role if number == 1 else f"{role}-{number}"
        file = make_folder(self.samples) / f"{name}.json"
        return replace(
            plain,
            name=name,
            argv=(executable, "-m", "bench.sampled", str(file), "worker", role),
            log=self.home.logs / f"{name}.log",
            prepare=lambda: file.unlink(missing_ok=True),
            environ={**plain.environ, "TAMBOUR_HOME": str(self.home.folder / name)} if number > 1 else plain.environ,
        )


@dataclass
class Hub:
    """A running hub: where it is, how to reach it, and what its processes use."""

    stack: SampledStack
    supervisor: Supervisor
    settings: Settings
    programs: Sequence[str]
    """Those that are measured, by name."""
    faults: list[str] = field(default_factory=list)
    """What went wrong: the home stays then, for its logs."""

    @property
    def dsn(self) -> str:
        return self.settings.database.get_secret_value()

    @property
    def bootstrap(self) -> str:
        return self.settings.kafka.bootstrap

    async def samples(self) -> tuple[Counter[str], Counter[str]]:
        """Samples so far of all workers, by step and by function."""
        steps: Counter[str] = Counter()
        places: Counter[str] = Counter()
        for name, pid in self.supervisor.pids.items():
            by_step, by_place = await sampled.ask(self.stack.samples / f"{name}.json", pid)
            steps += by_step
            places += by_place
        return steps, places

    @asynccontextmanager
    async def measured(self) -> AsyncIterator["Measured"]:
        """What the processes use within the block, and where the workers' time goes."""
        pids = self.supervisor.pids
        steps, places = await self.samples()
        connection = await connect(self.dsn)
        try:
            await statements.begin(connection)
            async with Watch({name: pids[name] for name in self.programs}) as watch:
                found = Measured(time.monotonic())
                yield found
                found.seconds = time.monotonic() - found.began
                used = watch.used()
            after = await self.samples()
            dearest = await statements.dearest(connection)
        finally:
            await connection.close()
        found.round = Round({}, used, after[0] - steps, after[1] - places, dearest)


@dataclass
class Measured:
    """Filled in when the block of ``Hub.measured`` ends."""

    began: float
    seconds: float = 0.0
    round: Round = field(default_factory=lambda: Round({}))

    def with_figures(self, figures: Mapping[str, float]) -> Round:
        """The round with its figures."""
        return replace(self.round, figures=figures)


@asynccontextmanager
async def hub(
    *,
    extra: Mapping[str, str] | None = None,
    beside: Sequence[Callable[[Home], Program]] = (),
    senders: Mapping[str, int] | None = None,
) -> AsyncIterator[Hub]:
    """A hub with real Kafka and PostgreSQL, durable, that takes no settings of the town.

    ``extra`` are its variables, ``beside`` makes programs that are to run before it (a mail sink), ``senders`` says
    how many workers of a role there are to be, if not one. Once this returns, all of them have joined their groups.
    """
    async with bare() as (home, stack, supervisor):
        say("Starting Kafka, PostgreSQL and the hub…")
        others = [program(home) for program in beside]
        await supervisor.start_together(others)
        stack.extra = {"TAMBOUR_SETTINGS": str(_empty(home)), **(extra or {})}
        await stack.start(supervisor)
        more = [
            stack.numbered(role, number) for role, count in (senders or {}).items() for number in range(2, count + 1)
        ]
        await supervisor.start_together(more)
        settings = settings_of(stack.environ)
        running = Hub(
            stack,
            supervisor,
            settings,
            (*ROLES, *(one.name for one in more), "kafka", "postgres", *(one.name for one in others)),
        )
        await joined(settings, {role: (senders or {}).get(role, 1) for role in ROLES})
        yield running
        if running.faults:
            raise Fault(f"The figures don't hold: {'; '.join(running.faults)}.", f"The logs are in {home.logs}.")


@asynccontextmanager
async def bare() -> AsyncIterator[tuple[Home, SampledStack, Supervisor]]:
    """A home of its own with nothing running yet. It goes when the block ends well, and stays when it does not."""
    around = find_home()
    _only_ours()
    quiet_kafka()
    home = Home(Path(tempfile.mkdtemp(prefix="bench-", dir=make_folder(around.folder))))
    home.folder.chmod(0o711)  # PostgreSQL's own user must pass
    stack = SampledStack(home, Ports.free(), own={}, say=say, jars=around.jars)
    try:
        async with Supervisor(home, tell=tell) as supervisor:
            yield home, stack, supervisor
    except BaseException:
        say(f"Ended early; the logs are in {home.logs}")
        raise
    shutil.rmtree(home.folder, ignore_errors=True)


def _only_ours() -> None:
    """What this shell says about a town's hub is not for the one that is measured."""
    for name in list(os.environ):
        if name.startswith("TAMBOUR_") and name != "TAMBOUR_HOME":
            del os.environ[name]


def _empty(home: Home) -> Path:
    path = home.folder / "empty.toml"
    path.write_text("# a bench takes no settings of the town\n", encoding="utf-8")
    return path


async def joined(settings: Settings, workers: Mapping[str, int]) -> None:
    """Wait until each role's consumer group is stable with so many members. Raises Fault when that takes too long."""
    admin = AIOKafkaAdminClient(**client_options(settings.kafka))
    await admin.start()
    try:
        async with asyncio.timeout(_READY_WITHIN_S):
            for role, count in workers.items():
                while await _members(admin, f"tambour-{role}") != count:  # noqa: ASYNC110  Kafka tells nobody
                    await asyncio.sleep(0.1)
    except TimeoutError:
        raise Fault("The workers did not join their groups in time.", "Their logs say why.") from None
    finally:
        await admin.close()


async def _members(admin: AIOKafkaAdminClient, group: str) -> int:
    """Members of a stable group; 0 while it rebalances, or before the broker knows of groups at all."""
    try:
        [answer] = await admin.describe_consumer_groups([group])
    except KafkaError:
        return 0
    _, _, state, _, _, members, *_ = answer.groups[0]
    return len(members) if state == "Stable" else 0
