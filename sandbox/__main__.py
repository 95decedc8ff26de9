"""Start the providers: one process, on 127.0.0.1 unless told. Prints one JSON line with the addresses when ready."""

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import secrets
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from aiohttp import web

from sandbox.admin import Admin
from sandbox.courier import Courier
from sandbox.faults import Faults
from sandbox.gateway import Gateway
from sandbox.handsets import Handsets
from sandbox.mailbox import Mailbox
from sandbox.mastodon import Mastodon
from sandbox.options import Options, parse
from sandbox.pages import Pages, guard
from sandbox.pictures import Pictures
from sandbox.smtp import SmtpServer
from sandbox.statuses import NETWORKS, Statuses
from sandbox.wall import Wall
from sandbox.webhooks import Webhook


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 stopped by a signal, 1 could not start (said on stderr), 2 options."""
    options = parse(arguments)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(name)s: %(message)s")
    try:
        options = claim(options)
        asyncio.run(serve(options))
    except OSError as error:
        print(f"sandbox: {error}", file=sys.stderr)
        return 1
    return 0


def claim(options: Options) -> Options:
    """Make the home folder, lock it for the life of this process, and take its realm."""
    (options.home / "journal").mkdir(parents=True, exist_ok=True)
    # never closed: the kernel gives the lock back when the process ends, however it ends
    lock = os.open(options.home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise OSError(f"another sandbox already uses {options.home}") from error
    return replace(options, realm=_realm(options.home / "realm"))


def _realm(path: Path) -> str:
    with contextlib.suppress(FileNotFoundError):
        if realm := path.read_text().strip():
            return realm
    realm = secrets.token_hex(3)
    path.write_text(realm + "\n")
    return realm


async def serve(options: Options) -> None:
    """Run until SIGTERM or SIGINT. OSError: a port is taken, or the home folder cannot be written."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    faults = Faults()
    courier = Courier(options.home / "journal" / "acknowledged.jsonl")
    webhook = Webhook(options.sms_webhook, options.webhook_secret) if options.sms_webhook else None
    mailbox = Mailbox(options, faults, courier)
    handsets = Handsets(options, courier, webhook.post if webhook else None)
    networks = {name: Statuses(options, name) for name in NETWORKS}
    pictures = Pictures(options.home / "pictures")
    courier.forget_history()
    admin = Admin(faults, courier, mailbox, handsets, list(networks.values()))

    application = web.Application(client_max_size=1 << 20, middlewares=[guard])
    application.add_routes(Gateway(options, faults, handsets).routes())
    application.add_routes(Mastodon(options, faults, networks["mastodon"]).routes())
    application.add_routes(admin.routes())
    application.add_routes(pictures.routes())
    application.add_routes(Wall(options, list(networks.values())).routes())
    application.add_routes(Pages(options, admin, faults, mailbox, handsets).routes())
    # a client that leaves cancels its handler: a hanging one would stay for ten minutes otherwise
    runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=1.0, access_log=None)
    await runner.setup()
    smtp = SmtpServer(mailbox, options.latency)
    smtp_port = await smtp.start(options.smtp_port, options.host)
    await web.TCPSite(runner, options.host, options.http_port, backlog=512).start()
    http_port = runner.addresses[0][1]
    carrying = asyncio.create_task(courier.run())
    addresses = {"smtp": f"{options.host}:{smtp_port}", "http": f"http://{options.host}:{http_port}"}
    print(json.dumps(addresses), flush=True)

    await stop.wait()
    await smtp.stop()
    await runner.cleanup()
    carrying.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await carrying
    if webhook:
        await webhook.aclose()


if __name__ == "__main__":
    sys.exit(main())
