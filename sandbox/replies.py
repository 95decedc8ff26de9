"""Mails that the provider sends back to the envelope sender: bounces (RFC 3464) and absence notices (RFC 3834)."""

from email.utils import format_datetime

import aiosmtplib

from sandbox.courier import NotTaken
from sandbox.journal import Line, now
from sandbox.options import MAIL_HOST

_MAX_HEADERS = 65_536


async def send_reply(inlet: tuple[str, int], line: Line, content: bytes | None) -> None:
    """Send the reply that a journal line asks for, with the null sender; NotTaken when the inlet refuses."""
    kind, recipient = line["reply"]["kind"], line["sender"]
    message = bounce(line, content) if kind == "late-bounce" else out_of_office(line)
    try:
        async with aiosmtplib.SMTP(
            hostname=inlet[0],
            port=inlet[1],
            use_tls=False,
            start_tls=False,
            local_hostname=MAIL_HOST,
            timeout=10,
        ) as smtp:
            await smtp.sendmail("", [recipient], message)
    except aiosmtplib.SMTPException as error:
        raise NotTaken(str(error)) from error


def bounce(line: Line, content: bytes | None) -> bytes:
    """A delivery status notification for a mail accepted earlier (RFC 3462 and 3464), CRLF lines."""
    boundary = f"=_dsn_{line['n']}"
    if content is None:
        original = f"Message-ID: {line['message_id']}\r\n".encode()
    else:
        original = content.partition(b"\r\n\r\n")[0][:_MAX_HEADERS] + b"\r\n"
    date = format_datetime(now())
    head = (
        f"From: Mail Delivery System <mailer-daemon@{MAIL_HOST}>\r\n"
        f"To: <{line['sender']}>\r\n"
        "Subject: Undelivered Mail Returned to Sender\r\n"
        f"Date: {date}\r\n"
        f"Message-ID: <bounce.{line['reply']['id']}@{MAIL_HOST}>\r\n"
        "Auto-Submitted: auto-replied\r\n"
        "MIME-Version: 1.0\r\n"
        "Content-Type: multipart/report; report-type=delivery-status;\r\n"
        f'\tboundary="{boundary}"\r\n'
        "\r\n"
        f"--{boundary}\r\n"
        "Content-Type: text/plain; charset=utf-8\r\n"
        "Content-Transfer-Encoding: 8bit\r\n"
        "\r\n"
        f"This is the mail system at {MAIL_HOST} (a sandbox).\r\n"
        "\r\n"
        f"<{line['recipient']}>: 550 5.1.1 The mailbox was closed\r\n"
        "\r\n"
        f"--{boundary}\r\n"
        "Content-Type: message/delivery-status\r\n"
        "\r\n"
        f"Reporting-MTA: dns; {MAIL_HOST}\r\n"
        f"Arrival-Date: {date}\r\n"
        "\r\n"
        f"Final-Recipient: rfc822; {line['recipient']}\r\n"
        f"Original-Recipient: rfc822; {line['recipient']}\r\n"
        "Action: failed\r\n"
        "Status: 5.1.1\r\n"
        "Diagnostic-Code: smtp; 550 5.1.1 The mailbox was closed\r\n"
        "\r\n"
        f"--{boundary}\r\n"
        "Content-Type: text/rfc822-headers\r\n"
        "\r\n"
    )
    return head.encode() + original + f"\r\n--{boundary}--\r\n".encode()


def out_of_office(line: Line) -> bytes:
    """What a person's automatic reply looks like: no failure, and not to be taken for one."""
    reference = line["message_id"]
    thread = f"In-Reply-To: {reference}\r\nReferences: {reference}\r\n" if reference else ""
    return (
        f"From: <{line['recipient']}>\r\n"
        f"To: <{line['sender']}>\r\n"
        "Subject: Absence\r\n"
        f"Date: {format_datetime(now())}\r\n"
        f"Message-ID: <absence.{line['reply']['id']}@{MAIL_HOST}>\r\n"
        f"{thread}"
        "Auto-Submitted: auto-replied\r\n"
        "X-Auto-Response-Suppress: All\r\n"
        "MIME-Version: 1.0\r\n"
        "Content-Type: text/plain; charset=utf-8\r\n"
        "Content-Transfer-Encoding: 8bit\r\n"
        "\r\n"
        "Bonjour, je suis absente jusqu'à lundi et lirai votre message à mon retour.\r\n"
    ).encode()
