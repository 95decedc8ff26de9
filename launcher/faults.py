"""What the launcher says when it cannot go on: told to the person who can act, never as a traceback."""


class Fault(Exception):
    """Something outside the program stands in the way.

    ``str()`` is the whole message: what happened and where, then how to mend it on a line of its own.
    """

    def __init__(self, what: str, mend: str = "") -> None:
        super().__init__(f"{what}\n{mend}" if mend else what)
        self.what = what
        self.mend = mend
