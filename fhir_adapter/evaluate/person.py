"""Nodes about the patient: age by local dates, sex, alive."""

from __future__ import annotations

from msgspec.structs import replace

from fhir_adapter.evaluate.case import Case
from fhir_adapter.evaluate.judged import Closure, Judged, decided, shown, unknown
from fhir_adapter.model import truth as kleene
from fhir_adapter.model.dates import DATE_EARLIEST, DATE_LATEST, Duration, years_between
from fhir_adapter.model.fact import Fact, Kind, Standing
from fhir_adapter.model.truth import Reason, Truth
from fhir_adapter.model.vocabulary import BIRTH_DATE, DECEASED, FEMALE, MALE, SEX


def _missing(case: Case) -> Reason:
    rows = case.retrieved.get(Kind.PATIENT)
    complete = bool(rows) and all(row.complete for row in rows or ())
    return Reason.NEVER_RECORDED if complete else Reason.NOT_RETRIEVED


def age(least: int | None, most: int | None) -> Closure:
    """Completed years on the local date of as_of; a year-only birth date may leave it open."""

    def judge(case: Case) -> Judged:
        born = case.patient_facts.get(BIRTH_DATE)
        if born is None:
            return unknown(_missing(case))
        if not _dated(born):
            return unknown(Reason.DATE_MISSING_OR_TOO_COARSE, *shown([born]))
        oldest = years_between(born.start_date_lo, case.as_of_date)
        youngest = years_between(born.start_date_hi, case.as_of_date)
        truth = kleene.all_of(
            (_at_least(youngest, oldest, least), _at_most(youngest, oldest, most))
        )
        if truth is Truth.UNKNOWN:
            return unknown(Reason.DATE_MISSING_OR_TOO_COARSE, *shown([born]))
        return replace(decided(truth, [born]), until=_too_young_until(born, oldest, least))

    return judge


def _too_young_until(born: Fact, oldest: int, least: int | None) -> int | None:
    """The last local date on which the patient certainly is too young."""
    if least is None or oldest >= least:
        return None
    return min(birthdays(born, least)) - 1


def _dated(born: Fact) -> bool:
    inside = born.start_date_lo > DATE_EARLIEST and born.start_date_hi < DATE_LATEST
    return inside and born.standing is Standing.COUNTS


def _at_least(youngest: int, oldest: int, bound: int | None) -> Truth:
    if bound is None or youngest >= bound:
        return Truth.TRUE
    return Truth.FALSE if oldest < bound else Truth.UNKNOWN


def _at_most(youngest: int, oldest: int, bound: int | None) -> Truth:
    if bound is None or oldest <= bound:
        return Truth.TRUE
    return Truth.FALSE if youngest > bound else Truth.UNKNOWN


def birthdays(born: Fact, years: int) -> tuple[int, ...]:
    """Local dates on which a completed age is reached, for either end of an uncertain birth."""
    if not _dated(born):
        return ()
    span = Duration(years, "year")
    return tuple(_reached(day, span) for day in (born.start_date_lo, born.start_date_hi))


def _reached(born: int, span: Duration) -> int:
    day = span.shift(born, 1)
    return day if years_between(born, day) >= span.amount else day + 1


def sex(wanted: str) -> Closure:
    """Sex for clinical use, else birth sex, else gender; which one decided is in the fact."""
    code = FEMALE if wanted == "female" else MALE

    def judge(case: Case) -> Judged:
        fact = case.patient_facts.get(SEX)
        if fact is None or not fact.value_concepts:
            return unknown(_missing(case))
        if fact.value_concepts[0] not in (FEMALE, MALE):
            return unknown(Reason.RECORDED_UNUSABLE, *shown([fact]))
        return decided(kleene.of(code in fact.value_concepts), [fact])

    return judge


def alive(case: Case) -> Judged:
    """FALSE when a death up to as_of is recorded. Death is a stop before any criterion."""
    died = case.patient_facts.get(DECEASED)
    if died is not None:
        return decided(Truth.FALSE, [died])
    missing = _missing(case)
    return unknown(missing) if missing is Reason.NOT_RETRIEVED else Judged(Truth.TRUE)
