"""Delivery status notifications (RFC 3464): what machines write for machines, with the faults that they have."""

import re
from collections.abc import Sequence
from email.message import Message

from hub import bounces_mail as reading
from hub import bounces_text as prose
from hub.bounces_verdict import Bounce, Verdict, basic_of, enhanced, is_vague, judge

_FIELD = re.compile(r"[ \t>]{0,8}([A-Za-z][A-Za-z-]{0,60})[ \t]*:[ \t]*(.*)")
_TYPE = re.compile(r"^\s*[A-Za-z0-9/-]{1,40}\s*;\s*")
_GOES_ON = {"delayed", "deferred", "delay", "transient"}
_GOOD = {"delivered", "relayed", "expanded", "deliverable", "success"}
_TYPES = ("message/delivery-status", "message/global-delivery-status", "message/xdelivery-status")
_DIAGNOSTIC_LIMIT = 500

Block = dict[str, str]
"""The fields about one recipient, names in lower case."""


def blocks_of(parts: Sequence[Message], text: str) -> list[Block]:
    """The groups of fields about recipients: of the part for machines, or else as they stand in the text."""
    for part in parts:
        if part.get_content_type() in _TYPES and (blocks := parse(reading.fields_text(part))):
            return blocks
    if "final-recipient" in text.lower() or "original-recipient" in text.lower():
        return [block for block in parse(text) if {"action", "status", "diagnostic-code"} & block.keys()]
    return []


def parse(text: str) -> list[Block]:
    """Groups of fields. Lenient: blanks before the colon, blank lines amid one recipient's fields, no order."""
    blocks: list[Block] = []
    block: Block = {}
    name = ""
    for line in [*text[: reading.TEXT_LIMIT].splitlines(), ""]:
        if not line.strip():
            # a blank line that splits one recipient's fields is a fault that some servers have
            if _complete(block):
                blocks.append(block)
                block = {}
            name = ""
        elif line[0] in " \t" and name:
            if len(block[name]) < 2000:
                block[name] += " " + line.strip()
        elif match := _FIELD.match(line):
            name = match[1].lower()
            if name == "final-recipient" and name in block:  # and a missing blank line between two is another
                blocks.append(block)
                block = {}
            if name in block:
                name = ""
            else:
                block[name] = match[2].strip()
    if block and blocks and "diagnostic-code" in block and "diagnostic-code" not in blocks[-1]:
        blocks[-1] |= block
    elif _some(block):
        blocks.append(block)
    return blocks[: reading.PARTS_LIMIT]


def _complete(block: Block) -> bool:
    return len({"final-recipient", "action", "status"} & block.keys()) >= 2


def _some(block: Block) -> bool:
    return bool({"final-recipient", "action", "status"} & block.keys())


def read(blocks: Sequence[Block], text: str) -> Bounce | None:
    """The worst that the groups tell, and everybody they name; None when all is well. ``text``: that for people."""
    bounces = [bounce for block in blocks if (bounce := _of_recipient(block, text, len(blocks) == 1)) is not None]
    if not bounces:
        return None
    worst = max(bounces, key=lambda bounce: (bounce.kind == "hard", bounce.address_dead, bounce.gave_up))
    recipients = dict.fromkeys(address for bounce in bounces for address in bounce.recipients)
    return Bounce(
        worst.kind,
        worst.status,
        worst.diagnostic,
        tuple(recipients),
        worst.address_dead,
        any(bounce.gave_up for bounce in bounces),
        worst.mailbox,
    )


def _of_recipient(block: Block, text: str, alone: bool) -> Bounce | None:
    action = re.sub(r"[^a-z].*", "", block.get("action", "").strip().lower())
    stated_text = block.get("status", "").strip()
    if action in _GOOD or (not action and stated_text.startswith("2")):
        return None
    diagnostic = " ".join(_TYPE.sub("", block.get("diagnostic-code", ""), count=1).split())
    named = block.get("final-recipient") or block.get("original-recipient") or block.get("x-actual-recipient") or ""
    address = named.rpartition(";")[2].strip().strip("<>").strip()
    words = diagnostic or _line_about(address, text)
    stated, said = enhanced(stated_text), enhanced(words)
    # "5.0.0" is what a server writes that knows no better; the words of the one that refused say more
    status = said if said is not None and (stated is None or not is_vague(said)) else stated
    verdict = judge(status, words, own=said is not None or basic_of(words) is None)
    if verdict.weight <= 1 and alone and action not in _GOES_ON:
        # neither code nor words: the part for people may have the server's own
        better = prose.most_telling(text)
        if better is not None and better.verdict.weight > verdict.weight:
            verdict, words = better.verdict, words or better.words
            status = better.status if better.status and is_vague(status) else status
    gave_up = action not in _GOES_ON
    if not gave_up:
        verdict = Verdict("soft", mailbox=verdict.mailbox)
    return Bounce(
        verdict.kind,
        status,
        words[:_DIAGNOSTIC_LIMIT] or None,
        (address,) if address else (),
        verdict.dead,
        gave_up,
        verdict.mailbox,
    )


def _line_about(address: str, text: str) -> str:
    """What the part for people says of an address, where the part for machines gives no reason."""
    for line in text.splitlines()[:500] if address else ():
        rest = line.replace(address, "").strip(" <>:\t")
        if address in line and rest:
            return " ".join(rest.split())
    return ""
