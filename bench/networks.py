"""The sandbox's social networks, which enforce a rate limit: they take the hub's posts, and keep a journal of them."""

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import httpx

from bench.sampled import ROOT
from launcher.home import Home, make_folder
from launcher.ports import free_ports
from launcher.programs import Program

NETWORKS = ("mastodon", "x")


@dataclass(frozen=True, slots=True)
class Try:
    """A post as a network met it: taken, or ``refused`` as one too many (429)."""

    account: str
    at: float
    """Seconds since 1970."""
    text: str
    refused: bool


@dataclass(frozen=True, slots=True)
class Networks:
    """Mastodon and X on loopback; each account may make ``allowance`` requests in a ``period`` of seconds."""

    home: Path
    port: int
    allowance: int
    period: float

    @classmethod
    def of(cls, folder: Path, allowance: int, period: float) -> "Networks":
        """On a free port, journals in ``folder``."""
        return cls(folder, free_ports(1)[0], allowance, period)

    def program(self, home: Home) -> Program:
        """The sandbox as a child for a Supervisor."""
        return Program(
            name="sandbox",
            argv=(
                *(sys.executable, "-m", "sandbox", "--home", str(make_folder(self.home))),
                *("--http-port", str(self.port), "--rate-period-seconds", f"{self.period:g}"),
                *("--mastodon-rate-limit", str(self.allowance), "--x-rate-limit", str(self.allowance)),
            ),
            environ={"PYTHONPATH": str(ROOT)},
            log=home.logs / "sandbox.log",
            ready=self._answers,
            ports={self.port: "another run"},
        )

    def settings(self, accounts: Sequence[str]) -> Mapping[str, str]:
        """The variables that make these the accounts of both networks."""
        web = f"http://127.0.0.1:{self.port}"
        found = {"X__URL": f"{web}/x", "X__SITE": f"{web}/x"}
        for name in accounts:
            found |= {
                f"X__ACCOUNTS__{name.upper()}__TOKEN": f"token-{name}",
                f"MASTODON__ACCOUNTS__{name.upper()}__URL": web,
                f"MASTODON__ACCOUNTS__{name.upper()}__TOKEN": name,
            }
        return {f"TAMBOUR_CHANNELS__{name}": value for name, value in found.items()}

    def tries(self, network: str) -> Iterator[Try]:
        """Every post that was tried, oldest first."""
        with (self.home / "journal" / f"{network}.jsonl").open(encoding="utf-8") as lines:
            for line in map(json.loads, lines):
                if line["kind"] == "create" and line["outcome"] in ("accepted", "deferred"):
                    at = datetime.fromisoformat(line["at"]).timestamp()
                    yield Try(line["account"], at, line.get("text") or "", line["outcome"] == "deferred")

    def soonest(self, network: str, first: float, posts: int) -> float:
        """Seconds from the first of so many posts to the last, if the account uses each period to its end.

        A period begins with its first request; X's ends at a whole second.
        """
        moment = first
        for _ in range(math.ceil(posts / self.allowance) - 1):
            moment += self.period
            moment = math.ceil(moment) if network == "x" else moment
        return moment - first

    async def _answers(self) -> None:
        async with httpx.AsyncClient() as client:
            try:
                (await client.get(f"http://127.0.0.1:{self.port}/sandbox/counts")).raise_for_status()
            except httpx.HTTPError as error:
                raise ConnectionError(str(error)) from error
