"""The TCP ports of 127.0.0.1 that a running Tambour uses, and how to choose others."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, fields

from launcher.faults import Fault


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
        """Ports that nobody listens on at this moment, for a run beside others (chaos, tests)."""
        while True:
            taken = [socket.create_server(("127.0.0.1", 0)) for _ in fields(cls)]
            numbers = [one.getsockname()[1] for one in taken]
            for one in taken:
                one.close()
            if numbers[0] + 1 not in numbers and numbers[0] < 65535:
                return cls(*numbers)


def setting_of(name: str) -> str:
    """The variable that chooses the port."""
    return f"TAMBOUR_PORT_{name.upper()}"
