"""One check: what it is called, what it means, and the function that looks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fhir_adapter.doctor.exam import Exam
from fhir_adapter.model.server import Finding, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one look came to."""

    verdict: Verdict
    reason: str
    remedy: str = ""
    """Instead of the check's own, where what was seen asks for another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One row of the table."""

    id: str
    title: str
    means: str
    """What follows for the adapter where it does not work."""
    look: Callable[[Exam], Seen]
    remedy: str = ""
    writes: bool = False
    needed: bool = False

    def finding(self, seen: Seen) -> Finding:
        """The row as a finding."""
        fine = seen.verdict is Verdict.WORKS
        return Finding(
            id=self.id,
            title=self.title,
            verdict=seen.verdict,
            reason=seen.reason,
            consequence="" if fine else self.means,
            remedy="" if fine else seen.remedy or self.remedy,
            needed=self.needed,
        )


def works(reason: str) -> Seen:
    """It does what the adapter counts on."""
    return Seen(verdict=Verdict.WORKS, reason=reason)


def fails(reason: str, *, remedy: str = "") -> Seen:
    """It does not."""
    return Seen(verdict=Verdict.FAILS, reason=reason, remedy=remedy)


def unsure(reason: str) -> Seen:
    """Nothing was there to try it on, or the answer proves neither."""
    return Seen(verdict=Verdict.CANNOT_TELL, reason=reason)


def either(good: bool, yes: str, no: str) -> Seen:  # noqa: FBT001 - reads as a sentence
    """Works with one reason, or fails with the other."""
    return works(yes) if good else fails(no)
