"""What a report withholds: no small count is shown, and none can be worked out from what is."""

from __future__ import annotations

from collections import Counter
from functools import cache
from itertools import permutations, product
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from fhir_adapter import bootstrap
from fhir_adapter.evaluate.feasibility import tally
from fhir_adapter.model.decision import Outcome, Stop
from fhir_adapter.model.feasibility import MARKS, Counted, Tally
from fhir_adapter.model.truth import Reason
from fhir_adapter.present import feasibility as rows
from fhir_adapter.present.feasibility import Feasibility, feasibility
from fhir_adapter.present.withholding import Split, Unions, withheld

STUDY = bootstrap.package_from_folder("NCT05985863").study
CRITERIA = tuple(one.id for one in STUDY.criteria[:3])
ORDERS = {" ".join(order): order for order in permutations(CRITERIA)}
"""All there are; "most restrictive first" is another one for other people, and left out below."""
NUMBERS = [
    number
    for number, mark in enumerate(MARKS)
    if (
        mark.reason in (None, Reason.STALE)
        and not (mark.assumed and mark.call in (Outcome.NOT_PROPOSED, Outcome.NOT_ELIGIBLE))
    )
    or (mark.reason is Reason.NEVER_RECORDED and mark.call is Outcome.NEEDS_DATA)
]
KINDS: list[Any] = [*map(bytes, product(NUMBERS, repeat=3)), Stop.DECEASED, Stop.OPTED_OUT]
"""Every kind of person that there can be here."""
COUNTS = st.dictionaries(
    st.integers(0, len(KINDS) - 1),
    st.one_of(st.integers(1, 9), st.integers(1, 60)),
    max_size=12,
)


def tally_of(people: dict[Any, int]) -> Tally:
    combinations = {kind: n for kind, n in people.items() if isinstance(kind, bytes)}
    stops = {kind: n for kind, n in people.items() if isinstance(kind, Stop)}
    counted = Counted(combinations=combinations, stops=stops)
    return tally(CRITERIA, [counted], everyone=sum(people.values()), orders=ORDERS)


def counts_of(made: Tally) -> dict[str, int]:
    """Everything that is a count of people, shown or not: cells, steps, and what a step adds."""
    found = dict(rows._cells(made))
    for one in made.attritions[:-1]:
        fits, against = made.judged, 0
        for place, step in enumerate(one.steps):
            name = f"{one.name} {place}"
            found |= {
                f"{name} fits": step.fits,
                f"{name} open": step.open,
                f"{name} against": step.against,
                f"{name} still in": made.judged - step.against,
                f"{name} lost": step.against - against,
                f"{name} no longer fitting": fits - step.fits,
            }
            fits, against = step.fits, step.against
    return found


@cache
def kinds() -> list[Counter[str]]:
    """Per kind of person, which counts one of them is in."""
    return [+Counter(counts_of(tally_of({kind: 1}))) for kind in KINDS]


@cache
def products() -> tuple[dict[str, int], Any]:
    """The place of each count, and the products of every two of them over the kinds of people."""
    names = sorted(set().union(*kinds()))
    table = np.array([[one[name] for one in kinds()] for name in names], dtype=float)
    return {name: place for place, name in enumerate(names)}, table @ table.T


def told(made: Tally, report: Feasibility, min_cell: int) -> set[str]:
    """Names of all counts that a reader sees."""
    cells = dict(rows._cells(made))
    hidden = {name for name in cells if name.startswith("~")}
    gone = withheld(
        cells,
        list(rows._splits(made)),
        hidden=hidden,
        last=("everyone", "judged"),
        min_cell=min_cell,
    )
    shown = set(cells) - gone
    for name, steps in report.attritions[:-1]:
        for place, step in enumerate(steps):
            values = {"fits": step.fits, "open": step.open, "against": step.against}
            shown |= {f"{name} {place} {k}" for k, v in values.items() if v is not None}
    return shown


def determined(names: set[str], wanted: list[str]) -> list[str]:
    """The counts that are linear combinations of others, whoever the people are."""
    places, inner = products()
    known = [places[name] for name in sorted(names) if name in places]
    inverse = np.linalg.pinv(inner[np.ix_(known, known)], hermitian=True)
    found: list[str] = []
    for name in wanted:
        beside = inner[known, places[name]]
        whole = inner[places[name], places[name]]
        if whole - beside @ inverse @ beside < 1e-6 * whole:
            found.append(name)
    return found


@settings(deadline=None, max_examples=40, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(COUNTS, st.sampled_from([2, 5, 11]))
@pytest.mark.untraced
@pytest.mark.slow
def test_no_small_count_is_shown_or_can_be_worked_out(
    people: dict[int, int], min_cell: int
) -> None:
    made = tally_of({KINDS[place]: count for place, count in people.items()})
    report = feasibility(made, STUDY, min_cell=min_cell, issues={})
    shown = told(made, report, min_cell)
    small = [name for name, count in counts_of(made).items() if 0 < count < min_cell]
    assert not shown & set(small)
    assert determined(shown, small) == []


@settings(deadline=None, max_examples=40)
@given(COUNTS)
def test_with_a_limit_of_one_everything_is_shown(people: dict[int, int]) -> None:
    made = tally_of({KINDS[place]: count for place, count in people.items()})
    report = feasibility(made, STUDY, min_cell=1, issues={})
    cells = {name for name in dict(rows._cells(made)) if not name.startswith("~")}
    assert cells <= told(made, report, 1)
    assert None not in report.outcomes.values()
    for _, steps in report.attritions:
        assert [s.lost for s in steps] != [None, None]
        assert {s.fits + s.open + s.against for s in steps} <= {made.judged}  # type: ignore[operator] # it is there
    for line in report.lines:
        data = line.data()
        assert sum(n or 0 for n in data.values()) == made.judged


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 30), min_size=2, max_size=6), st.integers(2, 11))
def test_what_is_withheld_of_one_split_is_never_one_cell_nor_few_people(
    parts: list[int], min_cell: int
) -> None:
    names = [f"part {n}" for n in range(len(parts))]
    cells = dict(zip(names, parts, strict=True)) | {"all": sum(parts)}
    gone = withheld(cells, [Split("all", tuple(names))], min_cell=min_cell)
    assert all(not 0 < cells[name] < min_cell for name in set(cells) - gone)
    assert len(gone) != 1
    if "all" not in gone and gone:
        assert sum(cells[name] for name in gone) >= min_cell


def test_a_small_group_of_stopped_people_hides_the_total_and_not_the_study() -> None:
    people: dict[Any, int] = {KINDS[0]: 30, Stop.DECEASED: 2}
    report = feasibility(tally_of(people), STUDY, issues={"odd": 3, "no-unit": 90})
    assert report.everyone is None
    assert report.judged == 30
    assert report.stopped is None
    assert report.issues == (("no-unit", 90), ("odd", None))


@pytest.mark.parametrize(("min_cell", "shown"), [(1, 2), (5, 0)])
def test_combinations_are_given_only_where_nothing_is_withheld(min_cell: int, shown: int) -> None:
    made = tally_of({KINDS[0]: 30, KINDS[100]: 30})
    assert len(feasibility(made, STUDY, min_cell=min_cell, issues={}).combinations) == shown


def test_steps_that_tell_too_much_are_not_shown() -> None:
    unions = Unions(everyone=100, min_cell=5)
    unions.know(0, 0)
    unions.know(0b001, 40)
    assert not unions.admit(0b010, 0, 30), "a group alone stands in its own table"
    assert not unions.admit(0b011, 0b001, 43), "3 are new"
    unions.know(0b010, 30)
    assert not unions.admit(0b011, 0b001, 67), "3 of the 30 were there already"
    assert unions.admit(0b011, 0b001, 60)
    assert not unions.admit(0b111, 0b011, 97), "3 are in none"
    unions.bar(0b111)
    assert not unions.admit(0b111, 0b011, 80), "withheld elsewhere"
    assert unions.admit(0b011, 0b001, 60), "shown already"


def test_the_first_group_of_a_union_is_no_back_door() -> None:
    unions = Unions(everyone=100, min_cell=5)
    unions.know(0, 0)
    unions.know(0b001, 0)
    assert not unions.admit(0b011, 0b001, 50), "it is the second group, which is withheld"
