"""Generated worlds: small studies and messy records, for properties of the evaluator.

A world has one laboratory marker in two units, diseases, drugs, procedures, encounters and an
episode; its facts carry every trait of a messy record: uncertain dates and values, comparators,
missing values, codes that nobody mapped, facts that make unknown, facts that do not count.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import strategies as st

from fhir_adapter.evaluate.record import CompiledStudy, JudgedStudy, compile_study, judge
from fhir_adapter.model import criterion as tree
from fhir_adapter.model.code import ATC, LOINC, SNOMED, Code
from fhir_adapter.model.dates import DATE_EARLIEST, DATE_LATEST, EARLIEST, LATEST, start_of
from fhir_adapter.model.fact import Fact, Kind, PatientRecord, Standing
from fhir_adapter.model.mapping import Analyte, CodeSet, Mappings, SiteRules, UnitRow, UnitTable
from fhir_adapter.model.study import Criterion, Identity, Question, Sentence, Study
from fhir_adapter.model.truth import Reason
from fhir_adapter.model.vocabulary import NO, YES, question_code

from facts_for_tests import AS_OF, ZONE, born, record

MARKER, OTHER_MARKER = Code(LOINC, "1975-2"), Code(LOINC, "14631-6")
DISEASE, SISTER = Code(SNOMED, "19943007"), Code(SNOMED, "13920009")
DRUG = Code(ATC, "L04AD01")
SEVERE = Code(SNOMED, "24484000")
STRANGE = Code("urn:somebody", "x")
TODAY = 739942  # 2026-11-22 as a local ordinal


def _set(name: str, *codes: Code) -> CodeSet:
    return CodeSet(name=name, url=f"urn:{name}", version="1", codes=codes)


CODE_SETS = (
    _set("marker", MARKER, OTHER_MARKER),
    _set("disease", DISEASE),
    _set("sister", SISTER),
    _set("drug", DRUG),
    _set("severe", SEVERE),
)
UNITS = UnitTable(
    analytes=(
        Analyte(
            name="marker",
            canonical="mg/dL",
            codes=(MARKER, OTHER_MARKER),
            rows=(
                UnitRow(unit="mg/dL", spellings=()),
                UnitRow(unit="umol/L", spellings=(), denominator=Decimal(17)),
            ),
            source="invented",
        ),
    )
)
MAPPINGS = Mappings(site=SiteRules(name="toy", zone=ZONE), code_sets=CODE_SETS, units=UNITS)
CODES = {
    Kind.OBSERVATION: ("marker", MARKER),
    Kind.CONDITION: ("disease", DISEASE),
    Kind.MEDICATION: ("drug", DRUG),
}
EPISODE = tree.Episode(
    name="bout",
    of=tree.Events(kind=(Kind.OBSERVATION,), codes="marker"),
    bound=tree.ValueTest(at_least=("5 mg/dL",)),
    ends_after="28 days",
    look_back="90 days",
)
DRUG_START = tree.EventAnchor(
    name="drug-start", of=tree.Events(kind=(Kind.MEDICATION,), codes="drug"), pick="earliest"
)


def study_of(
    *tests: tree.Node, policy: str = "unknown", kind: str = "inclusion", outside: str = "ignore"
) -> Study:
    """A study whose criteria C1, C2, ... are these tests, all under one absence policy."""
    criteria = tuple(
        Criterion(
            id=f"C{number}",
            kind=kind,  # type: ignore[arg-type] # drawn from the literals
            title="a test",
            sentence="1",
            span="a test",
            decidability="D",
            gate="none",
            lasts="passing",
            if_absent=policy,  # type: ignore[arg-type] # drawn from the literals
            fresh="none",
            settled="record",
            outside_documents=outside,  # type: ignore[arg-type] # drawn from the literals
            question="q",
            test=test,
        )
        for number, test in enumerate(tests, start=1)
    )
    return Study(
        format=1,
        id="toy",
        version="1",
        identity=Identity(
            registry="urn:r", number="1", title="toy", condition="disease",
            condition_text="toy", lead="nobody", blinded=False,
        ),
        protocol=(Sentence(id="1", text="a test"),),
        anchors=(EPISODE, DRUG_START),
        questions=(Question(id="q", text="Is it?", who="coordinator"),),
        criteria=criteria,
    )  # fmt: skip


def compiled(
    *tests: tree.Node, policy: str = "unknown", kind: str = "inclusion", outside: str = "ignore"
) -> CompiledStudy:
    """The same, compiled."""
    return compile_study(study_of(*tests, policy=policy, kind=kind, outside=outside), MAPPINGS)


def judged(of: CompiledStudy, patient: PatientRecord) -> JudgedStudy:
    """All answers for one record at the fixed as_of."""
    return judge(of, of.case(patient, AS_OF))


# ---------------------------------------------------------------------------- messy records

_NUMBERS = ("0.5", "4", "4.99", "5", "5.01", "9", "12")


@st.composite
def spans(draw: st.DrawFn) -> dict[str, int]:
    """Start of a fact: a moment, a day, an interval of days, or not known at all."""
    day = TODAY - draw(st.integers(0, 100))
    shape = draw(st.sampled_from(("moment", "moment", "day", "days", "never")))
    if shape == "never":
        return {}
    if shape == "moment":
        lo = start_of(day, ZONE) + draw(st.integers(0, 7 * 3600)) * 1_000_000
        return _bounds(lo, lo + 1_000_000, day, day)
    last = day if shape == "day" else min(TODAY, day + draw(st.integers(1, 40)))
    return _bounds(start_of(day, ZONE), start_of(last + 1, ZONE), day, last)


def _bounds(lo: int, hi: int, day: int, last: int) -> dict[str, int]:
    return {"start_lo": lo, "start_hi": hi, "start_date_lo": day, "start_date_hi": last}


def _end(draw: st.DrawFn, start: dict[str, int]) -> dict[str, int]:
    shape = draw(st.sampled_from(("moment", "running", "not-stated")))
    lo = start.get("start_lo", EARLIEST)
    hi = start.get("start_hi", LATEST)
    day_lo = start.get("start_date_lo", DATE_EARLIEST)
    day_hi = start.get("start_date_hi", DATE_LATEST)
    if shape == "running":
        lo, hi, day_lo, day_hi = LATEST, LATEST, DATE_LATEST, DATE_LATEST
    elif shape == "not-stated":
        hi, day_hi = LATEST, DATE_LATEST
    return {"end_lo": lo, "end_hi": hi, "end_date_lo": day_lo, "end_date_hi": day_hi}


def _value(draw: st.DrawFn) -> dict[str, Any]:
    shape = draw(st.sampled_from(("number", "number", "other-unit", "below", "above", "none")))
    if shape == "none":
        return {}
    number = Decimal(draw(st.sampled_from(_NUMBERS)))
    if shape == "other-unit":
        said = number * 17
        return {
            "value_lo": number, "value_hi": number, "unit": "mg/dL", "raw_value": str(said),
            "reported_lo": said, "reported_hi": said, "reported_unit": "umol/L",
        }  # fmt: skip
    said, unit = (number * 17, "umol/L") if draw(st.booleans()) else (number, "mg/dL")
    if shape == "number":
        lo: Decimal | None = number
        hi: Decimal | None = number
        more: dict[str, Any] = {}
    elif shape == "below":
        lo, hi, more = None, number, {"value_hi_open": True, "comparator": "<"}
    else:
        lo, hi, more = number, None, {"value_lo_open": True, "comparator": ">"}
    return {
        "value_lo": lo, "value_hi": hi, "unit": "mg/dL", "raw_value": str(number),
        "reported_lo": None if lo is None else said, "reported_unit": unit,
        "reported_hi": None if hi is None else said, **more,
    }  # fmt: skip


_STANDINGS: tuple[dict[str, Any], ...] = (
    {}, {}, {}, {},
    {"standing": Standing.IGNORED},
    {"standing": Standing.MAKES_UNKNOWN, "standing_reason": Reason.PENDING},
    {"standing": Standing.MAKES_UNKNOWN, "standing_reason": Reason.UNCONFIRMED},
    {"about_other": True},
)  # fmt: skip


@st.composite
def facts(draw: st.DrawFn, *, usable: bool = False, kind: Kind | None = None) -> Fact:
    """One fact; ``usable`` ones count, carry a mapped code and a plain date and value."""
    kind = kind or draw(st.sampled_from(tuple(CODES)))
    code = CODES[kind][1]
    if not usable:
        code = draw(st.sampled_from((code, code, code, STRANGE, SISTER)))
    start = draw(spans())
    fields: dict[str, Any] = {"patient": "p", "kind": kind, "concepts": (code,), **start}
    fields["source"] = f"{kind.value}/{draw(st.integers(0, 10**6))}"
    fields["known_from"] = start.get("start_lo", EARLIEST)
    fields |= _end(draw, start)
    if kind is Kind.OBSERVATION:
        fields |= _value(draw)
        fields |= {name.replace("start", "end"): value for name, value in start.items()}
    if kind is Kind.CONDITION:
        fields["clinical_status"] = draw(st.sampled_from(("active", "inactive", "")))
    if not usable:
        fields |= draw(st.sampled_from(_STANDINGS))
    return Fact(**fields)


@st.composite
def unmatched(draw: st.DrawFn) -> Fact:
    """A usable fact of no value set: a strange or a known code system, or an outside document."""
    fact = draw(facts(usable=True))
    if draw(st.sampled_from((False, False, True))):
        return msgspec.structs.replace(
            fact, kind=Kind.DOCUMENT, concepts=(STRANGE,), stage="outside", source="x/letter"
        )
    system = CODES[fact.kind][1].system
    code = draw(st.sampled_from((STRANGE, Code(system, "0"))))
    return msgspec.structs.replace(fact, concepts=(code,), source="x/unmatched")


def records(*, most: int = 8) -> st.SearchStrategy[PatientRecord]:
    """A messy record: some facts, an answer now and then, some kinds not pulled whole."""
    return st.builds(
        lambda some, answers, missing, incomplete: record(
            born("1980-05-01"), *some, *answers, missing=missing, incomplete=incomplete
        ),
        st.lists(facts(), max_size=most, unique_by=lambda fact: fact.source),
        st.lists(_answers(), max_size=1),
        st.sampled_from(((), (), (Kind.CONDITION,), (Kind.OBSERVATION,))),
        st.sampled_from(((), (), (), (Kind.OBSERVATION,), (Kind.MEDICATION,))),
    )


@st.composite
def _answers(draw: st.DrawFn) -> Fact:
    start = draw(spans())
    said = YES if draw(st.booleans()) else NO
    return Fact(
        patient="p",
        kind=Kind.ANSWER,
        source="answer/1",
        concepts=(question_code("toy", "q"),),
        value_concepts=(said,),
        **(start or _bounds(AS_OF - 1, AS_OF, TODAY, TODAY)),
    )


# ------------------------------------------------------------------------------------ trees

_WINDOWS = (
    None,
    tree.Window(from_="as-of - 30 days", to="as-of"),
    tree.Window(match="overlaps", from_="as-of - 7 days"),
    tree.Window(match="ends-in", from_="as-of - 2 months", to="as-of"),
    tree.Window(from_="bout.start", to="as-of"),
    tree.Window(to="bout.start", without_anchor="empty"),
    tree.Window(from_="drug-start", to="drug-start + 3 days"),
)
_BOUNDS = (
    tree.ValueTest(at_least=("5 mg/dL",)),
    tree.ValueTest(less_than=("5 mg/dL",)),
    tree.ValueTest(more_than=("4 mg/dL", "70 umol/L"), at_most=("9 mg/dL", "150 umol/L")),
)


@st.composite
def events(draw: st.DrawFn, kind: Kind | None = None) -> tree.Events:
    """One retrieve."""
    kind = kind or draw(st.sampled_from(tuple(CODES)))
    value = draw(st.sampled_from((None, *_BOUNDS))) if kind is Kind.OBSERVATION else None
    status = draw(st.sampled_from(((), ("active",)))) if kind is Kind.CONDITION else ()
    return tree.Events(
        kind=(kind,),
        codes=CODES[kind][0],
        window=draw(st.sampled_from(_WINDOWS)),
        value=value,
        clinical_status=status,  # type: ignore[arg-type] # drawn from the literals
        **draw(_beside(kind)),
    )


def _beside(kind: Kind) -> st.SearchStrategy[dict[str, Any]]:
    """Now and then a day, another retrieve or an episode on which the first one hangs."""
    disease = tree.Events(kind=(Kind.CONDITION,), codes="disease")
    drug = tree.Events(kind=(Kind.MEDICATION,), codes="drug")
    other: tuple[dict[str, Any], ...] = (
        {}, {}, {}, {}, {"same_day_as": drug}, {"same_day_as": disease}, {"also": drug},
    )  # fmt: skip
    more: tuple[dict[str, Any], ...] = ({"not_in_earlier": "bout"},)
    return st.sampled_from((*other, *more) if kind is Kind.OBSERVATION else other)


@st.composite
def _labs(draw: st.DrawFn) -> tree.Events:
    return tree.Events(
        kind=(Kind.OBSERVATION,),
        codes="marker",
        window=draw(st.sampled_from(_WINDOWS)),
        **draw(_beside(Kind.OBSERVATION)),
    )


def selections() -> st.SearchStrategy[tree.Node]:
    """latest, earliest, lowest and highest."""
    return st.builds(
        lambda node, of, test, n, fresh: node(of=of, test=test, n=n, fresh=fresh),
        st.sampled_from((tree.Latest, tree.Earliest, tree.Lowest, tree.Highest)),
        _labs(),
        st.sampled_from(_BOUNDS),
        st.integers(1, 3),
        st.sampled_from((None, "none", "14 days")),
    )


def counts() -> st.SearchStrategy[tree.Node]:
    """any and count-at-least."""
    return st.one_of(
        st.builds(tree.Any, of=events()),
        st.builds(tree.CountAtLeast, of=events(), n=st.integers(1, 3)),
    )


def _changes() -> st.SearchStrategy[tree.Node]:
    return st.builds(
        lambda node, of, by, within: node(of=of, within=within, **by),
        st.sampled_from((tree.Rise, tree.Fall)),
        _labs(),
        st.sampled_from(({"by": "0.5 mg/dL"}, {"factor": "1.5"})),
        st.sampled_from(("48 hours", "20 days")),
    )


def leaves() -> st.SearchStrategy[tree.Node]:
    """Nodes over facts, without logic and without people."""
    return st.one_of(
        counts(),
        selections(),
        _changes(),
        st.builds(tree.Lasts, of=events(), at_least=st.sampled_from(("2 days", "1 month"))),
        st.builds(tree.Paired, first=events(), second=events(), within=st.just("7 days")),
        st.just(tree.InEpisode(anchor="bout")),
    )


def nodes() -> st.SearchStrategy[tree.Node]:
    """Whole trees."""
    confounded = st.builds(
        lambda test, by, doubts: tree.UnlessConfounded(
            test=test, by=(tree.Confounder(name="c", by=by, doubts=doubts),), question="q"
        ),
        selections(),
        events(Kind.MEDICATION),
        st.sampled_from(("both", "true", "false")),
    )
    ask = st.builds(
        lambda yes, no, raised, as_: tree.Ask(
            question="q", yes_if=yes, no_if=no, raised_by=raised, raised_as=as_
        ),
        st.none() | leaves(),
        st.none() | leaves(),
        st.none() | leaves(),
        st.sampled_from(("needs-human", "unconfirmed")),
    )
    age = st.just(tree.Age(min=18, max=70))
    return st.recursive(
        st.one_of(leaves(), confounded, ask, age),
        lambda inner: st.one_of(
            st.builds(lambda of: tree.AllOf(of=tuple(of)), st.lists(inner, min_size=1, max_size=3)),
            st.builds(lambda of: tree.AnyOf(of=tuple(of)), st.lists(inner, min_size=1, max_size=3)),
            st.builds(
                lambda of: tree.AtLeast(n=2, of=tuple(of)), st.lists(inner, min_size=2, max_size=3)
            ),
            st.builds(tree.Not, of=inner),
        ),
        max_leaves=4,
    )


@dataclass(frozen=True)
class Narrowed:
    """A fact and the same fact known more exactly."""

    wide: Fact
    narrow: Fact


@st.composite
def narrowings(draw: st.DrawFn, kind: Kind | None = None) -> Narrowed:
    """An uncertain date or value, and one of the things that it may turn out to be."""
    fact = draw(facts(usable=True, kind=kind))
    narrow = fact
    for way in (_known_value, _known_start, _known_end):
        if draw(st.booleans()):
            narrow = msgspec.structs.replace(narrow, **way(draw, narrow))
    return Narrowed(fact, narrow)


def _known_value(draw: st.DrawFn, fact: Fact) -> dict[str, Any]:
    """The number behind a comparator."""
    bound = fact.value_hi if fact.value_lo is None else fact.value_lo
    if bound is None or fact.value_lo == fact.value_hi:
        return {}
    away = Decimal(draw(st.sampled_from(("0.01", "1", "0.4", "3"))))
    number = bound - away if fact.value_lo is None else bound + away
    said = number * 17 if fact.reported_unit == "umol/L" else number
    open_ends = {"value_hi_open": False, "value_lo_open": False, "comparator": ""}
    return {
        "value_lo": number, "value_hi": number, "reported_lo": said, "reported_hi": said,
        **open_ends,
    }  # fmt: skip


def _known_start(draw: st.DrawFn, fact: Fact) -> dict[str, Any]:
    """One day of an interval of days."""
    days = fact.start_date_hi - fact.start_date_lo
    if not 0 < days < 1000:  # noqa: PLR2004 - a date that is known at all
        return {}
    day = fact.start_date_lo + draw(st.integers(0, days))
    start = _bounds(start_of(day, ZONE), start_of(day + 1, ZONE), day, day)
    if fact.end_hi == fact.start_hi:
        return start | {name.replace("start", "end"): value for name, value in start.items()}
    if fact.end_lo == fact.start_lo:  # not stated: anywhere from the start on
        start |= {"end_lo": start["start_lo"], "end_date_lo": day}
    return start


def _known_end(draw: st.DrawFn, fact: Fact) -> dict[str, Any]:
    """The day on which something ended of which no end was stated."""
    if fact.end_hi != LATEST or fact.end_lo == LATEST or fact.start_date_hi == DATE_LATEST:
        return {}
    day = min(TODAY, fact.start_date_hi + draw(st.integers(0, 40)))
    return {
        "end_lo": max(fact.end_lo, start_of(day, ZONE)), "end_hi": start_of(day + 1, ZONE),
        "end_date_lo": day, "end_date_hi": day,
    }  # fmt: skip
