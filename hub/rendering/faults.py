"""What is wrong with a template, told to whoever can mend it: file, line, reason."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """``file`` is relative to the templates' folder, ``line`` counts from 1, ``reason`` is plain English."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


class TemplateError(Exception):
    """A template that cannot render. The same announcement would fail again until the template is mended."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.file = fault.file
        self.line = fault.line
        self.reason = fault.reason
        self.fault = fault
