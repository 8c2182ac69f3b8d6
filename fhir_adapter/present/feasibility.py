"""The feasibility report as rows: every count that may be shown, None where one is withheld."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fhir_adapter.model.decision import Stop
from fhir_adapter.model.feasibility import Attrition, CriterionTally, Step, Tally
from fhir_adapter.model.study import Criterion, Study
from fhir_adapter.model.truth import Reason
from fhir_adapter.present.withholding import Split, Unions, withheld

MIN_CELL = 5
"""Counts of fewer people are withheld unless another limit is asked for."""
Count = int | None
"""None: withheld."""

OUTCOME_GROUPS: dict[str, str] = {
    "candidates-fitting": "candidate: every criterion fits",
    "candidates-open": "candidate: some left for the consent visit or the investigator",
    "needs-data": "needs data before anybody is asked",
    "held": "not proposed: a gate is open",
    "not-now": "not now: only what may pass is against",
    "not-eligible": "not eligible: something lasting is against",
    "shut": "not proposed: a gate is against",
}
"""How everybody who was judged came out, most useful first."""

DATA_GROUPS: dict[str, str] = {
    "data": "answered from data",
    "assumed": "assumed: nothing recorded",
    "stale": "too old",
    "unusable": "recorded, cannot be used",
    "absent": "nothing recorded here",
    "unread": "not retrieved or not mapped",
    "person": "a person must judge",
    "none": "does not apply",
}
"""What there was to go by; a reason belongs to one of them."""

_GROUP_OF = {
    Reason.STALE.code: "stale",
    Reason.NEVER_RECORDED.code: "absent",
    Reason.OUTSIDE.code: "absent",
    Reason.NOT_RETRIEVED.code: "unread",
    Reason.UNSUPPORTED.code: "unread",
    Reason.CODE_NOT_MAPPED.code: "unread",
    Reason.NEEDS_HUMAN.code: "person",
    Reason.CONFOUNDED.code: "person",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One criterion."""

    criterion: str
    title: str
    inclusion: bool
    gate: bool
    signed: bool
    fits: Count
    """From data."""
    assumed: Count
    not_applicable: Count
    against: Count
    """From data."""
    against_assumed: Count
    open: Count
    reasons: tuple[tuple[str, Count], ...]
    fits_total: Count
    against_total: Count
    sole: Count
    to_candidate: Count
    """New candidates if it were set aside, from those not in the list."""
    to_needs_data: Count
    """New patients who need data if it were set aside."""
    settled: Count
    """Candidates in place of needing data if it were set aside."""

    def data(self) -> dict[str, Count]:
        """People by what there was to go by; None where a part of the sum is withheld."""
        found: dict[str, list[Count]] = {name: [] for name in DATA_GROUPS}
        found["data"] = [self.fits, self.against]
        found["assumed"] = [self.assumed, self.against_assumed]
        found["none"] = [self.not_applicable]
        for reason, count in self.reasons:
            found[_GROUP_OF.get(reason, "unusable")].append(count)
        return {name: _sum(*counts) for name, counts in found.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLine:
    """Everybody after one criterion of an order; withheld where a small step would show."""

    criterion: str
    title: str
    fits: Count
    open: Count
    against: Count
    still_in: Count
    lost: Count
    """Newly against, where the step before is shown too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feasibility:
    """The whole report, without anything about one person."""

    study: Study
    min_cell: int
    everyone: Count
    failed: Count
    stopped: Count
    judged: Count
    candidates: Count
    against: Count
    """People against whom something speaks."""
    stops: tuple[tuple[Stop, Count], ...]
    outcomes: dict[str, Count]
    """By OUTCOME_GROUPS."""
    lines: tuple[Line, ...]
    attritions: tuple[tuple[str, tuple[StepLine, ...]], ...]
    combinations: tuple[tuple[str, int], ...]
    """Only where nothing is withheld: they would show single people."""
    issues: tuple[tuple[str, Count], ...]

    @property
    def signed(self) -> bool:
        """Every reading is signed by the investigator."""
        return all(line.signed for line in self.lines)

    @property
    def is_withholding(self) -> bool:
        """Small counts are withheld."""
        return self.min_cell > 1

    def restrictive(self) -> tuple[Line, ...]:
        """The criteria that speak against anybody, those against most first."""
        found = [line for line in self.lines if line.against_total != 0]
        return tuple(sorted(found, key=lambda line: -_or_nought(line.against_total)))

    def gains(self) -> tuple[Line, ...]:
        """The criteria that keep somebody out by themselves, most gained first."""
        counts = [
            (line, (line.to_candidate, line.to_needs_data, line.settled)) for line in self.lines
        ]
        found = [(line, many) for line, many in counts if any(count != 0 for count in many)]
        found.sort(key=lambda one: [-_or_nought(count) for count in one[1]])
        return tuple(line for line, _ in found)


def _or_nought(count: Count) -> int:
    return 0 if count is None else count


def _sum(*counts: Count) -> Count:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def feasibility(
    made: Tally, study: Study, *, min_cell: int = MIN_CELL, issues: Mapping[str, int]
) -> Feasibility:
    """The report of a tally; counts of fewer than ``min_cell`` people are withheld."""
    cells, splits = dict(_cells(made)), list(_splits(made))
    hidden = {name for name in cells if name.startswith("~")}
    gone = withheld(cells, splits, hidden=hidden, last=("everyone", "judged"), min_cell=min_cell)
    shown = _Shown({name: count for name, count in cells.items() if name not in gone})
    criteria = {one.id: one for one in study.criteria}
    titles = {one.id: one.title for one in study.criteria}
    steps = _Steps(made, shown, min_cell)
    known = sorted((code, n if not 0 < n < min_cell else None) for code, n in issues.items() if n)
    return Feasibility(
        study=study,
        min_cell=min_cell,
        everyone=shown.count("everyone"),
        failed=shown.count("failed"),
        stopped=shown.count("stopped"),
        judged=shown.count("judged"),
        candidates=shown.count("candidates"),
        against=shown.count("against"),
        stops=tuple((stop, shown.count(f"stop {stop.value}")) for stop, _ in made.stops),
        outcomes={name: shown.count(name) for name in OUTCOME_GROUPS},
        lines=tuple(_line(one, criteria[one.criterion], shown) for one in made.criteria),
        attritions=tuple((one.name, steps.of(one, titles)) for one in made.attritions),
        combinations=made.combinations if min_cell <= 1 else (),
        issues=tuple(known),
    )


# --------------------------------------------------------------------------------------- cells


def _cells(made: Tally) -> Iterator[tuple[str, int]]:
    """Every count that is shown, and (~) every remainder that could be worked out from these."""
    against = made.shut + made.not_eligible + made.not_now
    yield from (
        ("everyone", made.everyone), ("failed", made.failed), ("stopped", made.stopped),
        ("judged", made.judged), ("against", against), ("still in", made.judged - against),
        ("shut", made.shut), ("not-eligible", made.not_eligible), ("not-now", made.not_now),
        ("held", made.held), ("needs-data", made.needs_data), ("candidates", made.candidates),
        ("candidates-open", made.candidates_open),
        ("candidates-fitting", made.candidates_fitting),
    )  # fmt: skip
    yield "open", made.candidates_open + made.needs_data + made.held
    sole = sum(one.sole for one in made.criteria)
    held = sum(one.held_to_candidate + one.held_to_needs_data for one in made.criteria)
    settled = sum(one.settled for one in made.criteria)
    yield from (
        ("~many against", against - sole),
        ("~many held", made.held - held),
        ("~many needs", made.needs_data - settled),
    )
    yield from ((f"stop {stop.value}", count) for stop, count in made.stops)
    for one in made.criteria:
        for name, count in _cells_of(one):
            yield _of(one, name), count
        elsewhere = against - one.against_total - (sole - one.sole)
        yield _of(one, "~elsewhere"), elsewhere


def _cells_of(one: CriterionTally) -> Iterator[tuple[str, int]]:
    held = one.held_to_candidate + one.held_to_needs_data
    yield from (
        ("fits", one.fits), ("assumed", one.assumed), ("not applicable", one.not_applicable),
        ("against", one.against), ("against assumed", one.against_assumed),
        ("fits total", one.fits_total), ("against total", one.against_total),
        ("open total", one.open_total),
        ("sole", one.sole), ("~with others", one.against_total - one.sole),
        ("sole candidate", one.sole_to_candidate), ("sole needs", one.sole_to_needs_data),
        ("~sole held", one.sole - one.sole_to_candidate - one.sole_to_needs_data),
        ("held candidate", one.held_to_candidate), ("held needs", one.held_to_needs_data),
        ("settled", one.settled),
        ("~open rest", one.open_total - held - one.settled),
    )  # fmt: skip
    yield from (_reason(pair) for pair in one.open)


def _reason(pair: tuple[str, int]) -> tuple[str, int]:
    code, count = pair
    return f"because {code}", count


def _of(one: CriterionTally, name: str) -> str:
    hidden = name.startswith("~")
    return f"{'~' if hidden else ''}{one.criterion} {name.removeprefix('~')}"


def _splits(made: Tally) -> Iterator[Split]:
    yield Split("everyone", ("failed", "stopped", "judged"))
    yield Split("stopped", tuple(f"stop {stop.value}" for stop, _ in made.stops))
    yield Split("judged", ("against", "still in"))
    yield Split("against", ("shut", "not-eligible", "not-now"))
    yield Split("still in", ("candidates", "needs-data", "held"))
    yield Split("still in", ("candidates-fitting", "open"))
    yield Split("open", ("candidates-open", "needs-data", "held"))
    yield Split("candidates", ("candidates-open", "candidates-fitting"))
    for total, names in _ALONE.items():
        alone = (_of(one, name) for one in made.criteria for name in names)
        yield Split(total, (*alone, f"~many {total.removesuffix('-data')}"))
    for one in made.criteria:
        others = (_of(other, "sole") for other in made.criteria if other is not one)
        yield Split("against", (*others, _of(one, "against total"), _of(one, "~elsewhere")))
        yield from _splits_of(one)


_ALONE = {
    "against": ("sole",),
    "held": ("held candidate", "held needs"),
    "needs-data": ("settled",),
}
"""People for whom one criterion alone makes the outcome: each stands in one of these cells."""


def _splits_of(one: CriterionTally) -> Iterator[Split]:
    def named(total: str, *parts: str) -> Split:
        return Split(_of(one, total), tuple(_of(one, part) for part in parts))

    yield Split("judged", tuple(_of(one, f"{c} total") for c in ("fits", "open", "against")))
    yield named("fits total", "fits", "assumed", "not applicable")
    yield named("against total", "against", "against assumed")
    yield named("open total", *(f"because {code}" for code, _ in one.open))
    yield named("against total", "sole", "~with others")
    yield named("sole", "sole candidate", "sole needs", "~sole held")
    yield named("open total", "held candidate", "held needs", "settled", "~open rest")


@dataclass(frozen=True, slots=True)
class _Shown:
    cells: Mapping[str, int]

    def count(self, name: str) -> Count:
        return self.cells.get(name)


def _line(one: CriterionTally, criterion: Criterion, shown: _Shown) -> Line:
    def count(name: str) -> Count:
        return shown.count(_of(one, name))

    return Line(
        criterion=one.criterion,
        title=criterion.title,
        inclusion=criterion.kind == "inclusion",
        gate=criterion.gate != "none",
        signed=criterion.sign_off is not None,
        fits=count("fits"),
        assumed=count("assumed"),
        not_applicable=count("not applicable"),
        against=count("against"),
        against_assumed=count("against assumed"),
        open=count("open total"),
        reasons=tuple((code, count(f"because {code}")) for code, _ in one.open),
        fits_total=count("fits total"),
        against_total=count("against total"),
        sole=count("sole"),
        to_candidate=_sum(count("sole candidate"), count("held candidate")),
        to_needs_data=_sum(count("sole needs"), count("held needs")),
        settled=count("settled"),
    )


# --------------------------------------------------------------------------------------- steps


class _Steps:
    """The steps of all orders: what one order shows must not tell what another withholds."""

    def __init__(self, made: Tally, shown: _Shown, min_cell: int) -> None:
        self._bits = {one.criterion: 1 << n for n, one in enumerate(made.criteria)}
        self._judged = made.judged
        self._all = (1 << len(made.criteria)) - 1
        self._min_cell = min_cell
        self._is_shown = shown.count("judged") is not None
        self._against = Unions(made.judged, min_cell)
        self._unfit = Unions(made.judged, min_cell)
        for unions in (self._against, self._unfit):
            unions.know(0, 0)
        self._know(made, shown)

    def _know(self, made: Tally, shown: _Shown) -> None:
        """What stands in the other tables: single criteria, and all of them together."""
        for one in made.criteria:
            bit = self._bits[one.criterion]
            if shown.count(_of(one, "against total")) is not None:
                self._against.know(bit, one.against_total)
            if shown.count(_of(one, "fits total")) is not None:
                self._unfit.know(bit, made.judged - one.fits_total)
        against = made.shut + made.not_eligible + made.not_now
        is_whole = shown.count("against") is not None
        for unions in (self._against, self._unfit):
            unions.bar(self._all)
        if is_whole:
            self._against.know(self._all, against)
        for one in made.criteria:
            rest = self._all & ~self._bits[one.criterion]
            if is_whole and shown.count(_of(one, "sole")) is not None:
                self._against.know(rest, against - one.sole)
            else:
                self._against.bar(rest)
        if shown.count("candidates-fitting") is not None:
            self._unfit.know(self._all, made.judged - made.candidates_fitting)

    def of(self, one: Attrition, titles: Mapping[str, str]) -> tuple[StepLine, ...]:
        """The steps of one order."""
        found: list[StepLine] = []
        before, last = 0, 0 if self._is_shown else None
        for step in one.steps:
            groups = before | self._bits[step.criterion]
            made = self._step(step, groups, before, last, titles[step.criterion])
            found.append(made)
            before, last = groups, made.against
        return tuple(found)

    def _step(self, step: Step, groups: int, before: int, last: Count, title: str) -> StepLine:
        seen = self._is_shown and self._against.admit(groups, before, step.against)
        whole = (
            seen
            and not 0 < step.open < self._min_cell
            and self._unfit.admit(groups, before, self._judged - step.fits)
        )
        return StepLine(
            criterion=step.criterion,
            title=title,
            fits=step.fits if whole else None,
            open=step.open if whole else None,
            against=step.against if seen else None,
            still_in=self._judged - step.against if seen else None,
            lost=step.against - last if seen and last is not None else None,
        )
