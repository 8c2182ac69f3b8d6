"""Case: one patient's facts as they stood at as_of, indexed for the code sets of one study."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from fhir_adapter.model.code import Code, key_of
from fhir_adapter.model.dates import DATE_LATEST, LATEST, local_date
from fhir_adapter.model.fact import Fact, Kind, PatientRecord, Retrieved, Standing
from fhir_adapter.model.fact import last_end as last_end  # noqa: PLC0414 - readers here know it by this room
from fhir_adapter.model.fact import last_start as last_start  # noqa: PLC0414 - likewise
from fhir_adapter.model.vocabulary import ACT_CODE, ADMISSION_CLASSES

Membership = Callable[[str], tuple[str, ...]]
"""Comparison key of a code -> names of the code sets that hold it."""

_NONE: list[Fact] = []
_SPEAKS = frozenset((Kind.SERVICE_REQUEST, Kind.DOCUMENT))
TYPED_IN = (
    Kind.OBSERVATION,
    Kind.REPORT,
    Kind.CONDITION,
    Kind.PROCEDURE,
    Kind.MEDICATION,
    Kind.ALLERGY,
    Kind.ENCOUNTER,
)
"""What an outside value that a person typed in may stand for: it counts like any other."""


@dataclass(frozen=True, slots=True)
class Admission:
    """The current stay: touching inpatient and emergency encounters, joined; else as_of alone."""

    start: int
    start_date: int
    known: bool = True
    """False: of the Encounters that were retrieved none holds as_of, and those are not all."""


@dataclass(slots=True, eq=False)
class Case:
    """Facts that existed at as_of, by kind and code set. Built once, read by every closure."""

    record: PatientRecord
    as_of: int
    as_of_date: int
    zone: ZoneInfo
    by_set: dict[tuple[Kind, str], list[Fact]]
    by_kind: dict[Kind, list[Fact]]
    systems: dict[Kind, set[str]]
    answers: dict[Code, list[Fact]]
    patient_facts: dict[Code, Fact]
    membership: Membership
    admission: Admission
    retrieved: dict[Kind, list[Retrieved]]
    whole: frozenset[Kind]
    """Kinds that were pulled whole."""
    denied: set[Kind]
    """Kinds of which the record states that there is nothing at all."""
    aside: dict[tuple[Kind, str], list[Fact]] = field(default_factory=dict)
    """Ignored facts and facts about another person: they decide nothing, and are listed."""
    plain: bool = False
    """Nothing here speaks about silence: no orders, documents, denials or facts laid aside."""
    memo: dict[object, object] = field(default_factory=dict)
    """Anchors, windows and policies already worked out for this case."""

    def facts(self, kind: Kind, codes: str | None) -> list[Fact]:
        """Facts of a kind in a code set (None: all of the kind), typed-in values included."""
        if codes is None:
            return self.by_kind.get(kind, _NONE)
        return self.by_set.get((kind, codes), _NONE)


def build(
    record: PatientRecord,
    *,
    as_of: int,
    zone: ZoneInfo,
    membership: Membership,
    own_studies: frozenset[str] = frozenset(),
) -> Case:
    """Index a record for one study.

    A fact that starts, or was issued, recorded or authored, after as_of does not exist; ignored
    facts and facts about another person decide nothing; participation in this study itself
    (``own_studies``) is no other trial.
    """
    as_of_date = local_date(as_of, zone)
    alive = [fact for fact in record.facts if _exists(fact, as_of, own_studies)]
    alive.sort(key=in_order)
    rows = _by_kind(record.retrieved)
    whole = frozenset(k for k, of_kind in rows.items() if all(r.complete for r in of_kind))
    case = Case(
        record=record,
        as_of=as_of,
        as_of_date=as_of_date,
        zone=zone,
        by_set={},
        by_kind={},
        systems={},
        answers={},
        patient_facts={},
        membership=membership,
        admission=_admission(alive, as_of, as_of_date, whole=Kind.ENCOUNTER in whole),
        retrieved=rows,
        whole=whole,
        denied=set(),
    )
    for fact in alive:
        _index(case, fact)
    for fact in record.facts:
        if _is_aside(fact) and _began(fact, as_of):
            _lay_aside(case, fact)
    case.plain = not (case.denied or case.aside or _SPEAKS.intersection(case.by_kind))
    return case


def _exists(fact: Fact, as_of: int, own_studies: frozenset[str]) -> bool:
    return (
        not _is_aside(fact)
        and _began(fact, as_of)
        and not (fact.study and fact.study in own_studies)
    )


def _began(fact: Fact, as_of: int) -> bool:
    return fact.start_lo <= as_of and fact.known_from <= as_of


def in_order(fact: Fact) -> tuple[int, str]:
    """Whatever order a record comes in, evidence and ties come out the same."""
    return fact.start_lo, fact.source


def _is_aside(fact: Fact) -> bool:
    return fact.standing is Standing.IGNORED or fact.about_other


def _lay_aside(case: Case, fact: Fact) -> None:
    names = {name for code in fact.concepts for name in case.membership(key_of(code))}
    for name in sorted(names):
        case.aside.setdefault((fact.kind, name), []).append(fact)


def _index(case: Case, fact: Fact) -> None:
    kind = fact.kind
    case.by_kind.setdefault(kind, []).append(fact)
    if fact.recorded_absence:
        case.denied.add(kind)
    if kind is Kind.PATIENT:
        for code in fact.concepts:
            case.patient_facts.setdefault(code, fact)
    elif kind is Kind.ANSWER:
        for code in fact.concepts:
            case.answers.setdefault(code, []).append(fact)
    else:
        _index_codes(case, fact, (*TYPED_IN, kind) if kind is Kind.ENTERED else (kind,))


def _index_codes(case: Case, fact: Fact, kinds: tuple[Kind, ...]) -> None:
    names: tuple[str, ...] = ()
    systems = case.systems.setdefault(fact.kind, set())
    for code in fact.concepts:
        systems.add(code.system)
        more = case.membership(key_of(code))
        names = more if not names else tuple(dict.fromkeys((*names, *more)))
    for name in names:
        for kind in kinds:
            case.by_set.setdefault((kind, name), []).append(fact)


def _by_kind(rows: Iterable[Retrieved]) -> dict[Kind, list[Retrieved]]:
    found: dict[Kind, list[Retrieved]] = {}
    for row in rows:
        found.setdefault(row.kind, []).append(row)
    return found


def _admission(facts: Iterable[Fact], as_of: int, as_of_date: int, *, whole: bool) -> Admission:
    stays = sorted(
        (fact for fact in facts if _is_stay(fact)), key=lambda fact: (fact.start_lo, fact.source)
    )
    current: Fact | None = None
    reach = 0
    for stay in stays:
        joined = current is not None and stay.start_lo <= reach
        if not joined:
            current = stay
        reach = max(reach, stay.end_hi) if joined else stay.end_hi
    if current is None or reach <= as_of:
        return Admission(as_of, as_of_date, known=whole)
    return Admission(current.start_lo, current.start_date_lo)


def _is_stay(fact: Fact) -> bool:
    return fact.kind is Kind.ENCOUNTER and any(
        code.system == ACT_CODE and code.code in ADMISSION_CLASSES for code in fact.concepts
    )


def is_running(fact: Fact) -> bool:
    """Whether a fact runs on without an end."""
    return fact.end_lo >= LATEST or fact.end_date_lo >= DATE_LATEST
