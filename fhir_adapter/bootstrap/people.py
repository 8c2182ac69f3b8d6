"""What people have answered and refused, where this installation has a ledger."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fhir_adapter.bootstrap.judging import SystemClock
from fhir_adapter.bootstrap.ledgers import is_there, ledger_of
from fhir_adapter.population import Spoken
from fhir_adapter.ports import Answers
from fhir_adapter.screening import Refusals, nobody_refused
from fhir_adapter.settings import Settings

if TYPE_CHECKING:
    from fhir_adapter.ledger import Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Answers and refusals; without a ledger nobody said anything."""

    answers: Answers | None
    refusals: Refusals
    spoken: Callable[[str], Spoken] = lambda _study: Spoken()
    """Study -> patients of whom people have said something."""
    was_read: Callable[[str, str], None] = lambda _patient, _study: None
    """A patient's record was pulled for a study: a row of the audit, where there is a ledger."""


def refusals_of(ledger: Ledger) -> Refusals:
    """What people have refused, under any id of a patient."""
    return Refusals(
        declined=lambda study, ids: bool(ledger.declined(study, ids)),
        opted_out=lambda ids: bool(ledger.opted_out(ids)),
    )


@contextmanager
def people(settings: Settings) -> Generator[People]:
    """The ledger's people for as long as the block lasts; a ledger that is not there stays so."""
    if not is_there(settings):
        yield People(answers=None, refusals=nobody_refused())
        return
    ledger = ledger_of(settings, SystemClock())
    try:
        yield People(
            answers=ledger,
            refusals=refusals_of(ledger),
            spoken=lambda study: Spoken(
                answered=ledger.answered(study),
                proposed=ledger.proposed(study),
                opted_out=ledger.opted_out if ledger.anybody_opted_out() else None,
            ),
            was_read=lambda patient, study: ledger.audit(
                who="fhir-adapter",
                what="read",
                patient=patient,
                purpose=f"pre-screening for {study}",
            ),
        )
    finally:
        ledger.close()
