"""The TCP ports of 127.0.0.1 that a running Tambour uses, and how to choose others."""

import os
import random
import socket
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from launcher.faults import Fault

_LOWEST_GIVEN = Path("/proc/sys/net/ipv4/ip_local_port_range")


@dataclass(frozen=True, slots=True)
class Ports:
    """One port each; the embedded broker's controller takes the one after ``kafka``."""

    kafka: int = 19092
    postgres: int = 15432
    portal: int = 8470
    inlet: int = 8425
    sandbox_http: int = 8471
    sandbox_smtp: int = 8426

    @classmethod
    def chosen(cls, environ: Mapping[str, str] = os.environ) -> "Ports":
        """The defaults, each replaced by ``TAMBOUR_PORT_<NAME>`` when set. Raises Fault for what is no port."""
        found: dict[str, int] = {}
        for field in fields(cls):
            variable = setting_of(field.name)
            if text := environ.get(variable):
                if not text.isdecimal() or not 0 < int(text) < 65535:
                    raise Fault(f"{variable} is {text!r}, not a port.", "Give a number between 1 and 65534.")
                found[field.name] = int(text)
        return cls(**found)

    @classmethod
    def free(cls) -> "Ports":
        """Ports that nobody uses at this moment, for a run beside others (chaos, tests)."""
        return cls(*free_ports(len(fields(cls)), step=2))


def free_ports(count: int, *, step: int = 1) -> list[int]:
    """``count`` ports of 127.0.0.1 that nobody uses, and that the system gives nobody by itself.

    Below the range of which the kernel takes the near ends of connections: a port of that range may be free now,
    and be somebody's outgoing connection when a server wants it. ``step`` 2 keeps the next one free as well.
    """
    lowest = _LOWEST_GIVEN.read_text().split()[0] if _LOWEST_GIVEN.exists() else "32768"
    found: list[int] = []
    while len(found) < count:
        port = random.SystemRandom().randrange(10_000, max(12_000, int(lowest) - step))
        if not any(abs(port - other) < step for other in found) and all(map(_is_free, range(port, port + step))):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def setting_of(name: str) -> str:
    """The variable that chooses the port."""
    return f"TAMBOUR_PORT_{name.upper()}"
