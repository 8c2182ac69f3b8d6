"""Generated sites: several studies side by side, and records that speak about silence too.

Wider than ``worlds`` where many studies need it: gates, policies, freshness, places, exceptions
and pairs differ from criterion to criterion; records have orders, outside documents, denials,
typed-in values, admissions, participations, answers and anchors set by a person.
"""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st

from fhir_adapter.evaluate.many import SiteStudy
from fhir_adapter.model import criterion as tree
from fhir_adapter.model.code import Code
from fhir_adapter.model.fact import Fact, Kind, PatientRecord, Retrieved
from fhir_adapter.model.study import Criterion, Gate, Pair, Question, Study
from fhir_adapter.model.vocabulary import ACT_CODE, anchor_code

import worlds
from facts_for_tests import answer, born, fact, record, sex

POLICIES = ("unknown", "assume-absent", "assume-absent-if-known-here")
GATES: tuple[Gate | str, ...] = (
    "none",
    "none",
    Gate(if_open="hold"),
    Gate(if_open="list"),
    Gate(if_open="hold", list_when=("never-recorded", "q")),
)
OTHER_BOUT = msgspec.structs.replace(worlds.EPISODE, look_back="10 days")
_EVER_REPORTED = tree.Any(of=tree.Events(kind=(Kind.REPORT, Kind.CONDITION), codes="sister"))
PLAIN: tuple[tree.Node, ...] = (
    tree.Sex(is_="female"),
    tree.Alive(),
    tree.Unsupported(text="?", why="?"),
    tree.Ask(question="q"),
    tree.Not(of=_EVER_REPORTED),
    tree.InEpisode(anchor="bout"),
    tree.Any(
        of=tree.Events(kind=(Kind.OBSERVATION,), codes="marker", not_in_earlier="bout"),
    ),
    tree.Any(of=tree.Events(kind=(Kind.STUDY_PARTICIPATION,))),
    tree.Any(of=tree.Events(kind=(Kind.ENTERED,), codes="marker")),
    tree.Any(
        of=tree.Events(
            kind=(Kind.OBSERVATION,),
            codes="marker",
            window=tree.Window(from_="admission - 1 day"),
            if_absent="assume-absent-if-known-here",
        )
    ),
)


def tests() -> st.SearchStrategy[tree.Node]:
    """Whole trees; plain leaves often, as real criteria are."""
    return st.one_of(worlds.leaves(), worlds.leaves(), st.sampled_from(PLAIN), worlds.nodes())


@st.composite
def criteria(draw: st.DrawFn) -> Criterion:
    """One criterion with everything that decides varied."""
    rarely = st.none() | st.none() | st.none() | worlds.leaves()
    (base,) = worlds.study_of(draw(tests())).criteria
    fields: dict[str, Any] = {
        "kind": draw(st.sampled_from(("inclusion", "exclusion"))),
        "gate": draw(st.sampled_from(GATES)),
        "lasts": draw(st.sampled_from(("lasting", "passing"))),
        "if_absent": draw(st.sampled_from(POLICIES)),
        "fresh": draw(st.sampled_from(("none", "14 days"))),
        "settled": draw(st.sampled_from(("record", "investigator"))),
        "settled_when": draw(st.sampled_from(({}, {"q": "bedside"}, {"stale": "consent-visit"}))),
        "outside_documents": draw(st.sampled_from(("ignore", "reopen"))),
        "applies_if": draw(rarely),
        "passing_if": draw(rarely),
    }
    return msgspec.structs.replace(base, **fields)


REOPENS = Pair(
    id="P", criteria=("C0",), when=tree.Alive(), reopens_assumed=("C0",), note="n", question="q"
)


@st.composite
def studies(draw: st.DrawFn, pool: list[Criterion], number: int) -> Study:
    """A study of criteria that others may have too, some with anchors or pairs of its own."""
    picked = draw(st.lists(st.sampled_from(pool), max_size=4))
    numbered = tuple(
        msgspec.structs.replace(one, id=f"C{place}", title=f"{number}.{place}")
        for place, one in enumerate(picked)
    )
    base = worlds.study_of()
    bout = draw(st.sampled_from((worlds.EPISODE, worlds.EPISODE, OTHER_BOUT)))
    return msgspec.structs.replace(
        base,
        id=draw(st.sampled_from(("toy", f"toy/{number}"))),
        criteria=numbered,
        anchors=(bout, worlds.DRUG_START),
        questions=(Question(id="q", text="?", who="patient", valid_for="20 days"),),
        pairs=(REOPENS,) if numbered and draw(st.integers(0, 4)) == 0 else (),
    )


@st.composite
def sites(draw: st.DrawFn) -> list[SiteStudy]:
    """A few studies over one pool of criteria; now and then one with codes of its own."""
    pool = draw(st.lists(criteria(), min_size=1, max_size=6))
    made: list[SiteStudy] = []
    for number in range(draw(st.integers(1, 5))):
        sets = dict(worlds.MAPPINGS.by_name)
        if draw(st.integers(0, 9)) == 0:
            sets["disease"] = sets["sister"]
        made.append(SiteStudy(draw(studies(pool, number)), worlds.MAPPINGS, code_sets=sets))
    return made


OWN = "ResearchStudy/own"
_STRANGE_VISIT = Code(ACT_CODE, "AMB")
EXTRAS: tuple[Fact, ...] = (
    sex(),
    fact(Kind.SERVICE_REQUEST, worlds.MARKER, "2026-11-21", status="active"),
    fact(Kind.DOCUMENT, worlds.STRANGE, "2026-11-21", stage="outside"),
    fact(Kind.CONDITION, worlds.STRANGE, "2020-01-01", recorded_absence=True),
    fact(Kind.ENCOUNTER, Code(ACT_CODE, "IMP"), "2026-11-20", end="running"),
    fact(Kind.ENCOUNTER, _STRANGE_VISIT, "2026-01-20"),
    fact(Kind.REPORT, worlds.SISTER, "2026-10-01"),
    fact(Kind.ENTERED, worlds.MARKER, "2026-11-20"),
    fact(Kind.ENTERED, worlds.DISEASE, "2026-11-20"),
    fact(Kind.STUDY_PARTICIPATION, None, "2026-11-01", study=OWN),
    fact(Kind.STUDY_PARTICIPATION, None, "2026-11-01", study="ResearchStudy/other"),
    answer("toy", "q", yes=True, when="2026-11-21"),
    answer("toy/1", "q", yes=False, when="2026-11-10"),
    fact(Kind.ANSWER, anchor_code("toy/0", "bout"), "2026-11-01"),
    fact(Kind.CONDITION, worlds.SISTER, "2026-09-01", encounter="Encounter/1"),
)


def some_facts() -> st.SearchStrategy[list[Fact]]:
    """Messy facts, and a few that speak about more than themselves."""
    one = st.one_of(worlds.facts(), worlds.facts(), st.sampled_from(EXTRAS))
    return st.lists(one, max_size=7)


_ROWS = st.sampled_from(
    ({}, {}, {"missing": (Kind.CONDITION,)}, {"incomplete": (Kind.OBSERVATION,)})
)


def records() -> st.SearchStrategy[PatientRecord]:
    """A patient whose birth date may be missing."""
    return st.builds(_record, some_facts(), st.booleans(), _ROWS, st.booleans())


def _record(
    facts: list[Fact],
    known: bool,
    rows: dict[str, tuple[Kind, ...]],
    cut: bool,  # noqa: FBT001 - one per choice that is drawn
) -> PatientRecord:
    made = record(*((born("1980-05-01"), *facts) if known else facts), **rows)
    if not cut:
        return made
    old = Retrieved(patient="p", kind=Kind.MEDICATION, complete=False, date_to=worlds.TODAY - 40)
    rest = tuple(row for row in made.retrieved if row.kind is not Kind.MEDICATION)
    return msgspec.structs.replace(made, retrieved=(*rest, old))


@st.composite
def changes(draw: st.DrawFn, of: PatientRecord) -> PatientRecord:
    """The same record with a fact or a few more, less or other; now and then pulled otherwise."""
    kept = [one for one in of.facts if draw(st.integers(0, 5)) > 0]
    more = draw(st.lists(some_facts(), max_size=1))
    facts = sorted((*kept, *(one for some in more for one in some)), key=_in_order)
    other = draw(records()).retrieved if draw(st.integers(0, 5)) == 0 else of.retrieved
    return msgspec.structs.replace(of, facts=tuple(facts), retrieved=other)


def _in_order(one: Fact) -> tuple[str, int, str]:
    return one.kind.value, one.start_lo, one.source
