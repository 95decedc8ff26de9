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

from sandbox import ovh, twilio
from sandbox.admin import Admin
from sandbox.bluesky import Bluesky
from sandbox.courier import Courier
from sandbox.facebook import Facebook
from sandbox.faults import Faults
from sandbox.gateway import Gateway
from sandbox.handsets import Handsets
from sandbox.listener import Listener
from sandbox.mailbox import Mailbox
from sandbox.mastodon import Mastodon
from sandbox.options import Options, parse
from sandbox.pages import Pages, guard
from sandbox.pictures import Pictures
from sandbox.smpp import Smsc
from sandbox.smtp import SmtpServer
from sandbox.statuses import NETWORKS, Statuses
from sandbox.telegram import Telegram
from sandbox.wall import Wall
from sandbox.webhooks import Webhook
from sandbox.x import X


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
    callbacks = sms_callbacks(options)
    mailbox = Mailbox(options, faults, courier)
    smsc = Smsc(options, faults)
    smsc.handsets = handsets = Handsets(
        options,
        courier,
        webhook.post if webhook else None,
        smsc.post,
        {name: one.bring for name, one in callbacks.items()},
    )
    networks = {name: Statuses(options, name) for name in NETWORKS}
    pictures = Pictures(options.home / "pictures")
    listener = Listener(options, faults)
    courier.forget_history()
    admin = Admin(faults, courier, mailbox, handsets, [*networks.values(), *listener.books])

    application = web.Application(client_max_size=16 << 20, middlewares=[guard])
    application.add_routes(Gateway(options, faults, handsets).routes())
    application.add_routes(ovh.Ovh(options, faults, handsets).routes())
    application.add_routes(twilio.Twilio(options, faults, handsets).routes())
    application.add_routes(Mastodon(options, faults, networks["mastodon"], pictures).routes())
    application.add_routes(Facebook(options, faults, networks["facebook"], pictures).routes())
    application.add_routes(Bluesky(options, faults, networks["bluesky"], pictures).routes())
    application.add_routes(X(options, faults, networks["x"], pictures).routes())
    application.add_routes(listener.routes())
    application.add_routes(Telegram(options, faults, networks["telegram"], pictures).routes())
    application.add_routes(admin.routes())
    application.add_routes(pictures.routes())
    application.add_routes(Wall(options, list(networks.values())).routes())
    application.add_routes(Pages(options, admin, faults, mailbox, handsets).routes())
    # a client that leaves cancels its handler: a hanging one would stay for ten minutes otherwise
    runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=1.0, access_log=None)
    await runner.setup()
    smtp = SmtpServer(mailbox, options.latency)
    smtp_port = await smtp.start(options.smtp_port, options.host)
    smpp_port = await smsc.start(options.smpp_port, options.host)
    await web.TCPSite(runner, options.host, options.http_port, backlog=512).start()
    http_port = runner.addresses[0][1]
    carrying = asyncio.create_task(courier.run())
    addresses = {
        "smtp": f"{options.host}:{smtp_port}",
        "http": f"http://{options.host}:{http_port}",
        "smpp": f"{options.host}:{smpp_port}",
    }
    print(json.dumps(addresses), flush=True)

    await stop.wait()
    await smtp.stop()
    await smsc.stop()
    await runner.cleanup()
    carrying.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await carrying
    for each in callbacks.values():
        await each.aclose()
    if webhook:
        await webhook.aclose()


def sms_callbacks(options: Options) -> dict[str, ovh.Callback | twilio.Callback]:
    """Who tells what became of an SMS in a vendor's own way, by vendor: those that the options set up."""
    found: dict[str, ovh.Callback | twilio.Callback] = {}
    if options.ovh_callback:
        found["ovh"] = ovh.Callback(options.ovh_callback, options.realm)
    if options.twilio_auth_token:
        found["twilio"] = twilio.Callback(options.twilio_auth_token, options.realm)
    return found


if __name__ == "__main__":
    sys.exit(main())
