"""The portal as a process: it serves before PostgreSQL does, keeps secrets to itself, and ends when asked."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.integration.portal.scene import SECRET

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """
import sys
from tests.integration.portal import scene
from portal.app import run
run(scene.settings(sys.argv[1], port=int(sys.argv[2])))
"""


async def _answers(url: str) -> httpx.Response:
    async with httpx.AsyncClient() as client, asyncio.timeout(20):
        while True:
            try:
                return await client.get(url)
            except httpx.TransportError:
                await asyncio.sleep(0.05)  # the process is starting: nothing tells us when but its port


async def test_it_starts_without_a_database_and_ends_well_on_sigterm(free_port: int) -> None:
    dsn = f"postgresql://tambour:very-secret@127.0.0.1:{free_port}/none"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        dsn,
        str(free_port),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        assert (await _answers(f"http://127.0.0.1:{free_port}/healthz")).status_code == 200
        token = "1.abcdefghijklmnop"
        await _answers(f"http://127.0.0.1:{free_port}/u/{token}")
        process.send_signal(signal.SIGTERM)
        output, _ = await asyncio.wait_for(process.communicate(), 15)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0
    said = output.decode()
    assert "very-secret" not in said and SECRET not in said and token not in said
