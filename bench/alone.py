"""A sender of ours alone, in a process of its own: what a hub could reach at most if all but sending cost nothing."""

import asyncio
import json
import resource
from dataclasses import asdict
from sys import executable

from bench.sink import Sent
from launcher.faults import Fault


async def run(module: str, *arguments: object) -> Sent:
    """Run ``python -m module arguments``, which ends with ``tell``. Raises Fault when a message was not taken."""
    process = await asyncio.create_subprocess_exec(
        *(executable, "-m", module, *map(str, arguments)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, said = await process.communicate()
    if process.returncode:
        raise Fault(f"{module} failed: {said.decode(errors='replace')[-2000:]}")
    return Sent(**json.loads(out))


def tell(per_s: float) -> None:
    """Print so many messages a second, and what this process used for them, for ``run``."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    found = Sent(per_s, round(used.ru_utime + used.ru_stime, 2), round(used.ru_maxrss / 1024, 1))
    print(json.dumps(asdict(found)))
