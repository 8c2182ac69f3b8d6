"""What people have answered and refused, where this installation has a ledger."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

from fhir_adapter.bootstrap.judging import SystemClock
from fhir_adapter.bootstrap.ledgers import is_there, ledger_of
from fhir_adapter.population import Spoken
from fhir_adapter.ports import Answers
from fhir_adapter.screening import Refusals, nobody_refused
from fhir_adapter.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Answers and refusals; without a ledger nobody said anything."""

    answers: Answers | None
    refusals: Refusals
    spoken: Callable[[str], Spoken] = lambda _study: Spoken()
    """Study -> patients of whom people have said something."""


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
            refusals=Refusals(
                declined=lambda study, ids: bool(ledger.declined(study, ids)),
                opted_out=lambda _ids: False,
            ),
            spoken=lambda study: Spoken(
                answered=ledger.answered(study), proposed=ledger.proposed(study)
            ),
        )
    finally:
        ledger.close()
