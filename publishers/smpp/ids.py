"""Message ids: what an SMSC answers to a submit, and how it writes the same id in its receipts.

SMPP leaves the form to the vendor (5.2.23). Many answer in hexadecimal and report in decimal, pad with zeros, or
change the case. Both sides are brought to one form here, which is what ``Receipt.reference`` and
``Incoming.reference`` hold; a message of several parts joins its parts' ids with a comma.

"any" is for the time until somebody has seen a receipt: what has a letter is read as hexadecimal, all else as
decimal. A hexadecimal id that happens to have no letter (one of fifty, at eight digits) is not found again.
"""

import re
from collections.abc import Sequence
from typing import Literal

Dialect = Literal["as_is", "hex_to_decimal", "decimal_to_hex", "any"]

_DECIMAL = re.compile(r"[0-9]+")
_HEX = re.compile(r"[0-9A-Fa-f]+")


def answered(text: str, dialect: Dialect) -> str:
    """The id in an answer to submit_sm, in our form. One that isn't a number of that kind stays as it is."""
    return _form(text, {"hex_to_decimal": 16, "decimal_to_hex": 10}.get(dialect), dialect)


def reported(text: str, dialect: Dialect) -> str:
    """The id in the words of a receipt, in our form."""
    return _form(text, {"hex_to_decimal": 10, "decimal_to_hex": 16}.get(dialect), dialect)


def of_receipt(in_text: str | None, in_parameter: str | None, dialect: Dialect) -> str | None:
    """The id that a receipt is about; ``in_parameter`` is its receipted_message_id. None when it has neither.

    The parameter ought to be written as the answer was (5.3.2.12); an SMSC which writes it as the words are
    shows that by writing both alike.
    """
    if not in_parameter:
        return reported(in_text, dialect) if in_text else None
    return reported(in_parameter, dialect) if in_parameter == in_text else answered(in_parameter, dialect)


def written(identity: str, dialect: Dialect) -> str:
    """An id of our form as the SMSC answered it, as far as that can be known (not its case, nor its zeros)."""
    return f"{int(identity):x}" if dialect == "hex_to_decimal" and _DECIMAL.fullmatch(identity) else identity


def reference(ids: Sequence[str], recipient: str, dialect: Dialect) -> str | None:
    """What the hub knows a message by; None when the SMSC gave no id for some part.

    Under "any" two messages of an SMSC that counts can come to the same form: the recipient's number keeps them
    apart.
    """
    if not ids or not all(ids):
        return None
    return ",".join(ids) + (f"@{digits(recipient)}" if dialect == "any" else "")


def ids_of(text: str, dialect: Dialect) -> list[str]:
    """The parts' ids in a reference, in our form."""
    return (text.rpartition("@")[0] if dialect == "any" else text).split(",")


def digits(address: str) -> str:
    """A number's digits alone, so that it reads the same whether or not the SMSC writes its plus."""
    return re.sub(r"[^0-9]", "", address)


def _form(text: str, base: int | None, dialect: Dialect) -> str:
    text = text.strip()
    if dialect == "any":
        if _DECIMAL.fullmatch(text):
            return str(int(text))
        return str(int(text, 16)) if _HEX.fullmatch(text) else text.lower()
    if base and (_DECIMAL if base == 10 else _HEX).fullmatch(text):
        return str(int(text, base))
    return text
