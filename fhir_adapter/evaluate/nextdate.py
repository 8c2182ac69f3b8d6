"""Next date: the earliest local date on which time alone could change an answer.

It may be early (a date on which nothing turns out to change), never late: every window edge and
freshness limit that hangs on as_of, every age bound, every answer that expires and every
episode that could end by silence-free waiting is looked at for every fact it could touch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fhir_adapter.evaluate.absence import KNOWN_DAYS, ORDER_DAYS
from fhir_adapter.evaluate.ask import CompiledAsk
from fhir_adapter.evaluate.case import Case
from fhir_adapter.evaluate.compiler import Compiler, Timed
from fhir_adapter.evaluate.person import birthdays
from fhir_adapter.model.dates import DATE_EARLIEST, DATE_LATEST, Duration, local_date
from fhir_adapter.model.fact import Fact, Kind
from fhir_adapter.model.vocabulary import BIRTH_DATE


def next_date(compiler: Compiler, case: Case) -> int | None:
    """The earliest such local date, not before the local date of as_of; None when there is none."""
    found = [day for day in _moments(compiler, case) if case.as_of_date <= day < DATE_LATEST]
    return min(found, default=None)


def _moments(compiler: Compiler, case: Case) -> Iterator[int]:
    yield from _ages(compiler, case)
    for asked in compiler.asked:
        yield from _answers(asked, case)
    for timed in compiler.timed.values():
        yield from _windows(timed, case)
    yield from _orders(case)
    yield from _known_here(compiler, case)


def _ages(compiler: Compiler, case: Case) -> Iterator[int]:
    born = case.patient_facts.get(BIRTH_DATE)
    if born is None:
        return
    for node in compiler.ages:
        bounds = ([] if node.min is None else [node.min]) + (
            [] if node.max is None else [node.max + 1]
        )
        for years in bounds:
            yield from (day for day in birthdays(born, years) if day > case.as_of_date)


def _answers(asked: CompiledAsk, case: Case) -> Iterator[int]:
    if asked.valid_for is None:
        return
    yield from _after(case.answers.get(asked.code, ()), asked.valid_for, case)


def _windows(timed: Timed, case: Case) -> Iterator[int]:
    facts = timed.retrieve.every(case)
    if not facts:
        return
    for limit, newest in timed.limits:
        yield from _after(_newest(facts, newest), limit, case)


def _newest(facts: Sequence[Fact], n: int) -> Sequence[Fact]:
    """Facts that may be among the n newest; all of them for n = 0."""
    if n == 0 or len(facts) <= n:
        return facts
    bar = sorted((fact.start_lo for fact in facts), reverse=True)[n - 1]
    return [fact for fact in facts if fact.start_hi > bar]


def _after(facts: Sequence[Fact], offset: Duration, case: Case) -> Iterator[int]:
    """Local dates on which facts cross an edge this far behind as_of.

    Days count from the day after the last day inside; month ends are taken three days early.
    """
    if offset.is_hours:
        for fact in facts:
            yield from _after_hours(fact, offset, case)
        return
    slack = 3 if offset.unit in ("month", "year") else 0
    days = {f.start_date_lo for f in facts} | {f.start_date_hi for f in facts}
    days |= {f.end_date_lo for f in facts} | {f.end_date_hi for f in facts}
    for day in days:
        if DATE_EARLIEST < day < DATE_LATEST:
            crossing = offset.shift(day, 1)
            soonest = max(crossing + 1 - slack, case.as_of_date + 1)
            if crossing + 1 + slack > case.as_of_date:
                yield soonest


def _after_hours(fact: Fact, offset: Duration, case: Case) -> Iterator[int]:
    for at in {fact.start_lo, fact.start_hi, fact.end_lo, fact.end_hi}:
        if abs(at) < 2**61 and at + offset.micros >= case.as_of:
            yield local_date(at + offset.micros, case.zone)


def _orders(case: Case) -> Iterator[int]:
    """An active order stops making a missing result pending after a week."""
    for order in case.by_kind.get(Kind.SERVICE_REQUEST, ()):
        day = order.start_date_lo + ORDER_DAYS + 1
        if order.status == "active" and day > case.as_of_date:
            yield day


def _known_here(compiler: Compiler, case: Case) -> Iterator[int]:
    """Outside an admission "known here" counts its 30 days from as_of."""
    if case.admission.start < case.as_of:
        return
    for kind in compiler.known_here:
        for fact in case.by_kind.get(kind, ()):
            day = fact.start_date_hi + KNOWN_DAYS + 1
            if case.as_of_date < day < DATE_LATEST:
                yield day
