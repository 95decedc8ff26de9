"""docker-compose.yml: each worker's health is what its own door says, asked by what the image has."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from streams import exposing
from streams.worker import ROLES
from tests.acceptance.deploy.manifests import ROOT, Document, documents

pytestmark = pytest.mark.acceptance

(COMPOSE,) = documents((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))


@contextmanager
def door(status: int) -> Iterator[int]:
    """A worker's door that answers ``/readyz`` with this status; its port."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/readyz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing: the test says what matters."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_worker_is_healthy_when_it_says_that_it_is_ready(role: str, status: int, healthy: bool) -> None:
    service: Document = COMPOSE["services"][role]
    kind, program, *arguments = service["healthcheck"]["test"]
    assert (kind, program) == ("CMD", "python"), "the image has Python, and no shell is needed"
    port = str(service["environment"]["TAMBOUR_OBSERVE__PORT"])
    with door(status) as there:
        asked = [argument.replace(port, str(there)) for argument in arguments]
        assert asked != arguments
        done = subprocess.run([sys.executable, *asked], capture_output=True, timeout=30)
    assert (done.returncode == 0) is healthy


@pytest.mark.parametrize("role", ROLES)
def test_health_is_asked_with_the_patience_that_a_door_needs(role: str) -> None:
    check = COMPOSE["services"][role]["healthcheck"]
    assert int(check["timeout"].removesuffix("s")) > exposing._PATIENCE_S
    assert "9470" not in str(COMPOSE["services"][role].get("ports", [])), "anybody may read it: it stays inside"
