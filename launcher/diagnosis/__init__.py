"""The doctor: one file a part that it looks at, each told as findings with the way to mend them (round.py is all)."""

from launcher.diagnosis.findings import Finding, Grade
from launcher.diagnosis.round import examine

__all__ = ["Finding", "Grade", "examine"]
