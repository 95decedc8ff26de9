"""Whether a text that somebody sent us means "stop writing to me", or "start again".

A wrong "out" silences a siren for somebody, a missed one is an offence; so only a text that says nothing else
counts, with the courtesies that people add. Anything more ("Stop à la gare ?") is for a person to read.
"""

import re
import unicodedata
from typing import Literal

OUT = frozenset(
    {"stop", "stopsms", "stopall", "arret", "arrete", "arreter", "arretez", "desabonner", "desabonnez"}
    | {"desabonnement", "desinscrire", "desinscrivez", "desinscription", "resilier", "resiliation"}
    | {"unsubscribe", "quit", "optout"}
)
"""One of these alone leaves. Without accents, small letters."""

IN = frozenset(
    {"start", "unstop", "reprise", "reprendre", "reprenez", "reabonner", "reabonnez", "reabonnement"}
    | {"reinscrire", "reinscription", "optin"}
)
"""One of these alone comes back."""

_COURTESY = (
    "s il vous plait",
    "s il te plait",
    "je veux me",
    "je souhaite me",
    "je voudrais me",
    "merci de me",
    "merci de m",
    "veuillez me",
    "veuillez m",
    "merci d avance",
    "me",
    "svp",
    "stp",
    "merci",
    "bonjour",
    "bonsoir",
    "madame",
    "monsieur",
    "cordialement",
    "please",
    "pls",
    "thanks",
    "thank you",
    "hello",
    "sms",
)
_SHORT_CODE = re.compile(r"3\d{4}")
"""French short codes: "STOP 36111" repeats the notice under the message; "arrêt 12" is a bus stop."""

_LONGEST = 80  # characters; whoever writes more says more


def stop_word(text: str) -> Literal["out", "in"] | None:
    """What the text asks for: "out" to get no more, "in" to get them again, None when it is anything else."""
    if len(text) > _LONGEST or "?" in text:
        return None
    words = f" {' '.join(_words(text))} "
    for courtesy in _COURTESY:
        words = words.replace(f" {courtesy} ", " ")
    said = {word for word in words.split() if not _SHORT_CODE.fullmatch(word)}
    if said and said <= OUT:
        return "out"
    if said and said <= IN:
        return "in"
    return None


def _words(text: str) -> list[str]:
    folded = unicodedata.normalize("NFKD", text).casefold()
    bare = (c for c in folded if not unicodedata.combining(c))
    return "".join(c if c.isalnum() else " " for c in bare).split()
