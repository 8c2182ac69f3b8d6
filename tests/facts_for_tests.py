"""Facts by hand, for tests of the judging rooms: short words, exact bounds."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from fhir_adapter.model.code import ICD10, LOINC, SNOMED, Code
from fhir_adapter.model.dates import DATE_LATEST, LATEST, instant, start_of
from fhir_adapter.model.fact import Fact, Kind, PatientRecord, Retrieved
from fhir_adapter.model.vocabulary import BIRTH_DATE, MALE, NO, SEX, YES, question_code

ZONE = ZoneInfo("Asia/Shanghai")
AS_OF = instant(datetime(2026, 11, 22, 7, 40, tzinfo=ZONE))

BILIRUBIN = Code(LOINC, "1975-2")
INR = Code(LOINC, "6301-6")
PLATELETS = Code(LOINC, "777-3")
CREATININE = Code(LOINC, "2160-0")
ASCITES = Code(SNOMED, "389026000")
ENCEPHALOPATHY = Code(SNOMED, "13920009")
CIRRHOSIS = Code(ICD10, "K74.6")


def at(text: str) -> tuple[int, int, int, int]:
    """Bounds of "2026-11-20", "2026-11" or "2026-11-20T07:00" in the tests' zone."""
    if "T" in text:
        moment = datetime.fromisoformat(text).replace(tzinfo=ZONE)
        lo = instant(moment)
        return lo, lo + 1_000_000, moment.toordinal(), moment.toordinal()
    parts = [int(part) for part in text.split("-")]
    first = date(*([*parts, 1, 1])[:3])
    if len(parts) == 3:  # noqa: PLR2004 - year, month, day
        last = first.toordinal()
    elif len(parts) == 2:  # noqa: PLR2004 - year, month
        last = date(first.year + first.month // 12, first.month % 12 + 1, 1).toordinal() - 1
    else:
        last = date(first.year, 12, 31).toordinal()
    return start_of(first.toordinal(), ZONE), start_of(last + 1, ZONE), first.toordinal(), last


def fact(kind: Kind, code: Code | None, when: str, *, end: str | None = None, **more: Any) -> Fact:
    """A fact of one moment; ``end``: a date, "running" or "not-stated"."""
    lo, hi, day_lo, day_hi = at(when)
    ends = (lo, hi, day_lo, day_hi) if end is None else _end(end, lo, day_lo)
    fields: dict[str, Any] = {
        "patient": "p",
        "kind": kind,
        "source": f"{kind.value}/{code.code if code else ''}-{when}",
        "concepts": () if code is None else (code,),
        "start_lo": lo,
        "start_hi": hi,
        "start_date_lo": day_lo,
        "start_date_hi": day_hi,
        "end_lo": ends[0],
        "end_hi": ends[1],
        "end_date_lo": ends[2],
        "end_date_hi": ends[3],
        "known_from": lo,
    }
    return Fact(**{**fields, **more})


def _end(end: str, lo: int, day_lo: int) -> tuple[int, int, int, int]:
    if end == "running":
        return LATEST, LATEST, DATE_LATEST, DATE_LATEST
    if end == "not-stated":
        return lo, LATEST, day_lo, DATE_LATEST
    return at(end)


def lab(
    code: Code,
    value: str,
    when: str,
    *,
    unit: str = "1",
    reported: tuple[str, str] | None = None,
    **more: Any,
) -> Fact:
    """A numeric observation: canonical value, and the value in its reported unit."""
    number = Decimal(value)
    said, said_unit = (Decimal(reported[0]), reported[1]) if reported else (number, unit)
    fields: dict[str, Any] = {
        "value_lo": number,
        "value_hi": number,
        "unit": unit,
        "reported_lo": said,
        "reported_hi": said,
        "reported_unit": said_unit,
        "raw_value": str(said),
        "raw_unit": said_unit,
    }
    return fact(Kind.OBSERVATION, code, when, **{**fields, **more})


def bilirubin(mg: str, when: str, **more: Any) -> Fact:
    """Total bilirubin in mg/dL."""
    return lab(BILIRUBIN, mg, when, unit="mg/dL", **more)


def condition(code: Code, when: str, *, end: str | None = "running", **more: Any) -> Fact:
    """An active, confirmed condition."""
    return fact(Kind.CONDITION, code, when, end=end, **{"clinical_status": "active", **more})


def born(when: str) -> Fact:
    """The birth date."""
    return fact(Kind.PATIENT, BIRTH_DATE, when, known_from=-(2**62))


def sex(code: Code = MALE) -> Fact:
    """The patient's sex."""
    return fact(Kind.PATIENT, SEX, "1900-01-01", value_concepts=(code,))


def answer(study: str, question: str, *, yes: bool, when: str) -> Fact:
    """A person's dated answer."""
    said = YES if yes else NO
    return fact(Kind.ANSWER, question_code(study, question), when, value_concepts=(said,))


def record(
    *facts: Fact, missing: tuple[Kind, ...] = (), incomplete: tuple[Kind, ...] = ()
) -> PatientRecord:
    """A record with every kind pulled whole, except those named."""
    rows = tuple(
        Retrieved(patient="p", kind=kind, complete=kind not in incomplete)
        for kind in Kind
        if kind not in missing
    )
    ordered = sorted(facts, key=lambda item: (item.kind.value, item.start_lo, item.source))
    return PatientRecord(patient="p", facts=tuple(ordered), retrieved=rows)
