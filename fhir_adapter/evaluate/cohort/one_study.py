"""One study's part of a statement: a table per criterion, and the query that reads them all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fhir_adapter.evaluate.absence import Absence
from fhir_adapter.evaluate.cohort import answer as answers
from fhir_adapter.evaluate.cohort.anchors import Anchors
from fhir_adapter.evaluate.cohort.answer import Answer, Slot, bit, lowest, shown
from fhir_adapter.evaluate.cohort.classes import Classes
from fhir_adapter.evaluate.cohort.inputs import Inputs
from fhir_adapter.evaluate.cohort.members import Rows, Workshop
from fhir_adapter.evaluate.cohort.nodes import Nodes
from fhir_adapter.evaluate.cohort.person import Person
from fhir_adapter.evaluate.cohort.script import Block, Script, either
from fhir_adapter.evaluate.cohort.windows import Windows
from fhir_adapter.evaluate.compiler import duration
from fhir_adapter.evaluate.record import absence_of
from fhir_adapter.evaluate.settle import where_settled
from fhir_adapter.model.calculator import Calculator
from fhir_adapter.model.criterion import Events
from fhir_adapter.model.decision import STOP_ORDER, Outcome, Stop
from fhir_adapter.model.mapping import CodeSet, Mappings
from fhir_adapter.model.result import Effect
from fhir_adapter.model.study import BEFORE_CONTACT, SETTLED_ORDER, Criterion, Pair, Study
from fhir_adapter.model.truth import Reason

EFFECTS: tuple[Effect, ...] = tuple(Effect)
OUTCOMES: tuple[Outcome, ...] = tuple(Outcome)
STOPS: tuple[Stop, ...] = STOP_ORDER
_FITS, _AGAINST, _OPEN, _NOT_APPLICABLE = range(4)
_FREE = Absence("unknown", reopen_outside=False, known_kinds=())


@dataclass(frozen=True, slots=True, kw_only=True)
class ForStudy:
    """One study as it is compiled for a site."""

    study: Study
    mappings: Mappings
    """The site's, over the study's own code sets."""
    calculators: Mapping[str, Calculator] = field(default_factory=dict[str, Calculator])
    own_studies: frozenset[str] = frozenset()
    """References and identifiers by which records know the study."""


@dataclass(frozen=True, slots=True)
class _Column:
    """One criterion's columns in the block of outcomes."""

    truth: str
    reason: str
    effect: str
    assumed: str
    settled: str
    human: str
    """Mask of the questions that a person must answer."""
    evidence: str
    lasting: str


class Shared:
    """What the statements of one site's studies have in common."""

    def __init__(self, mappings: Mappings) -> None:
        self.inputs: Inputs = Inputs()
        refuses = mappings.site.no_consent_means == "refusal"
        self.person: Person = Person(self.inputs, silence_refuses=refuses)
        self.script: Script = Script()


class Maker:
    """Makes the tables of one study, among those of all studies of a pass."""

    def __init__(self, shared: Shared, asked: ForStudy, sets: dict[str, CodeSet]) -> None:
        self.shared: Shared = shared
        self.inputs: Inputs = shared.inputs
        self._study = asked.study
        self._sets = sets
        self._own = asked.own_studies
        self._person = shared.person
        self._script = shared.script
        shop = Workshop(
            self._script,
            self.inputs,
            self._person,
            Windows(self._script, self._anchor),
            asked.mappings.units,
        )
        self._anchors = Anchors(shop, asked.study.id, asked.study.anchors)
        self._shop = shop
        self._rows: Rows = self._anchors.rows
        self._nodes = Nodes(asked.study, shop, self._rows, self._anchors, asked.calculators)
        self._final = Block()

    def _anchor(self, name: str) -> str:
        return self._anchors.table(name)

    def _begin(self) -> None:
        self.inputs.begin(self._sets)
        self._person.begin(self._own)

    def anchor_tables(self) -> list[str]:
        """Tables of the study's anchors."""
        self._begin()
        return [self._anchors.table(anchor.name) for anchor in self._study.anchors]

    def statement(self, classes: Classes, *, counting: bool) -> tuple[str, tuple[str, ...]]:
        """The last query, which reads the tables of this study, and the study's criteria."""
        self._begin()
        self._classes = classes
        columns = {c.id: self._criterion(c) for c in self._study.criteria}
        columns = self._paired(columns)
        said = self._outcome(columns)
        for number, (name, column) in enumerate(columns.items()):
            said |= {
                f"t{number}": column.truth,
                f"r{number}": column.reason,
                f"f{number}": column.effect,
                f"a{number}": column.assumed,
                f"s{number}": column.settled,
                **(
                    {f"c{number}": self._call(name, column)}
                    if counting
                    else {f"e{number}": column.evidence}
                ),
            }
        if self._shop.windows.admission:
            self._person.admission = True
        return self._final.query(said), tuple(columns)

    # ------------------------------------------------------------------ one criterion

    def _criterion(self, criterion: Criterion) -> _Column:
        """A table of its own, then its columns in the final block."""
        with self.inputs.listening() as sets:
            block, columns = self._said(criterion)
        table = self._classes.table("criterion_", block, columns, sets)
        return _Column(**{name: self._final.take(table, name) for name in columns})

    def _said(self, criterion: Criterion) -> tuple[Block, dict[str, str]]:
        block = Block()
        scope = self._nodes.scope(block, absence_of(criterion), duration(criterion.fresh))
        answer = scope.node(criterion.test)
        applies = None if criterion.applies_if is None else scope.node(criterion.applies_if)
        passes = "2" if criterion.kind == "inclusion" else "0"
        effect, answer = self._effect(block, answer, applies, passes)
        lasts = "0"
        if criterion.lasts != "passing":
            lasts = "1"
            if criterion.passing_if is not None:
                passing = scope.node(criterion.passing_if)
                lasts = f"CASE WHEN {passing.truth} = 2 THEN 0 ELSE 1 END"
        reasons = block.pin(" | ".join(mask for _, mask in answer.opens) or "0")
        slots = [*answer.evidence, *self._beside(block, criterion.beside, effect)]
        columns = {
            "truth": f"CASE WHEN {effect} = {_NOT_APPLICABLE} THEN {passes} "
            f"ELSE {answer.truth} END",
            "reason": f"CASE WHEN {effect} = {_OPEN} THEN {lowest(reasons)} END",
            "effect": effect,
            "assumed": f"CASE WHEN {effect} IN ({_FITS}, {_AGAINST}) AND {answer.assumed} "
            "THEN 1 ELSE 0 END",
            "settled": f"CASE WHEN {effect} = {_OPEN} THEN {self._settled(criterion, answer)} END",
            "human": f"CASE WHEN {effect} = {_OPEN} THEN {self._human(criterion, answer)} "
            "ELSE 0 END",
            "lasting": f"CASE WHEN {effect} = {_AGAINST} THEN {lasts} ELSE 0 END",
            "evidence": f"ARRAY({', '.join(shown(block, slot) for slot in slots)})"
            if slots
            else "CAST(NULL AS ARRAY<BIGINT>)",
        }
        return block, columns

    def _effect(
        self, block: Block, answer: Answer, applies: Answer | None, passes: str
    ) -> tuple[str, Answer]:
        """The effect's number, and the answer after *applies-if* has spoken."""
        if applies is None:
            effect = (
                f"CASE WHEN {answer.truth} = 1 THEN {_OPEN} WHEN {answer.truth} = {passes} "
                f"THEN {_FITS} ELSE {_AGAINST} END"
            )
            return block.pin(effect), answer
        unsure = block.pin(f"{applies.truth} = 1 AND {answer.truth} <> {passes}")
        truth = block.pin(f"CASE WHEN {unsure} THEN 1 ELSE {answer.truth} END")
        effect = block.pin(
            f"CASE WHEN {applies.truth} = 0 THEN {_NOT_APPLICABLE} WHEN {truth} = 1 THEN {_OPEN} "
            f"WHEN {truth} = {passes} THEN {_FITS} ELSE {_AGAINST} END"
        )
        applied = f"{applies.truth} <> 0"
        opens = answers.merged(
            [
                *((q, f"CASE WHEN {unsure} THEN {m} ELSE 0 END") for q, m in applies.opens),
                *((q, f"CASE WHEN {applied} THEN {m} ELSE 0 END") for q, m in answer.opens),
            ]
        )
        evidence = (
            *(slot.only(block, f"({applies.truth} = 0 OR {unsure})") for slot in applies.evidence),
            *(
                slot.only(block, f"({applied} AND (NOT {unsure} OR {answer.truth} = 1))")
                for slot in answer.evidence
            ),
        )
        made = Answer(truth=truth, opens=opens, assumed=answer.assumed, evidence=evidence)
        return effect, answers.pinned(block, made)

    def _settled(self, criterion: Criterion, answer: Answer) -> str:
        """The earliest place among the open leaves (its number in SETTLED_ORDER)."""
        places: dict[int, list[str]] = {}
        for question, mask in answer.opens:
            by_place: dict[int, int] = {}
            for reason in Reason:
                place = SETTLED_ORDER.index(where_settled(criterion, reason, question))
                by_place[place] = by_place.get(place, 0) | bit(reason)
            for place, wanted in by_place.items():
                places.setdefault(place, []).append(f"({mask} & {wanted}) <> 0")
        lines = " ".join(f"WHEN {either(places[p])} THEN {p}" for p in sorted(places))
        return f"CASE {lines} END" if lines else "NULL"

    def _human(self, criterion: Criterion, answer: Answer) -> str:
        """1 where one of the questions that the gate excepts is open for a person."""
        gate = criterion.gate
        if gate == "none" or isinstance(gate, str):
            return "0"
        asked = [
            f"({mask} & {bit(Reason.NEEDS_HUMAN)}) <> 0"
            for question, mask in answer.opens
            if question in gate.list_when
        ]
        return f"CASE WHEN {either(asked)} THEN 1 ELSE 0 END"

    def _beside(self, block: Block, events: tuple[Events, ...], effect: str) -> list[Slot]:
        """The newest three facts that are shown beside the answer."""
        if not events:
            return []
        last = max(reason.value for reason in Reason)
        rows = " UNION ALL ".join(
            f"SELECT patient, seq, c FROM {self._rows.members(one)}" for one in events
        )
        table = self._script.add(
            "g",
            f"SELECT patient, {answers.packed()} AS facts FROM ({rows}) AS u "
            f"WHERE c <= {last} GROUP BY patient",
        )
        when = block.pin(f"{effect} <> {_NOT_APPLICABLE}")
        return [Slot(table=table, facts="facts", when=when)]

    # ------------------------------------------------------------------ all of them together

    def _paired(self, columns: dict[str, _Column]) -> dict[str, _Column]:
        """Pairs reopen what rests on an assumption: it is asked with the other one."""
        wanted = {pair.id: self._together(pair, columns) for pair in self._study.pairs}
        made = dict(columns)
        criteria = {criterion.id: criterion for criterion in self._study.criteria}
        for pair in self._study.pairs:
            for name in pair.criteria:
                if name in pair.reopens_assumed:
                    made[name] = self._reopened(made[name], criteria[name], pair, wanted[pair.id])
        return made

    def _together(self, pair: Pair, columns: dict[str, _Column]) -> str:
        block = Block()
        answer = self._nodes.scope(block, _FREE, None).node(pair.when)
        missing = [f"({mask} & {bit(Reason.NOT_RETRIEVED)}) <> 0" for _, mask in answer.opens]
        unread = f" OR ({answer.truth} = 1 AND {either(missing)})" if missing else ""
        holds = f"CASE WHEN {answer.truth} = 2{unread} THEN 1 ELSE 0 END"
        table = self._script.add("pair_", block.query({"holds": holds}))
        holds = f"{self._final.take(table, 'holds')} = 1"
        unsettled = [f"{columns[c].effect} IN ({_OPEN}, {_AGAINST})" for c in pair.needs_open]
        return self._final.pin(f"{holds} AND {either(unsettled)}" if unsettled else holds)

    def _reopened(self, old: _Column, criterion: Criterion, pair: Pair, when: str) -> _Column:
        pin = self._final.pin
        again = pin(f"{when} AND {old.assumed} = 1 AND {old.effect} = {_FITS}")
        human = Reason.NEEDS_HUMAN
        place = SETTLED_ORDER.index(where_settled(criterion, human, pair.question))
        asked = 0
        if not isinstance(criterion.gate, str):
            asked = int(pair.question in criterion.gate.list_when)

        def instead(value: str, otherwise: str) -> str:
            return pin(f"CASE WHEN {again} THEN {value} ELSE {otherwise} END")

        return _Column(
            truth=instead("1", old.truth),
            reason=instead(str(human.value), old.reason),
            effect=instead(str(_OPEN), old.effect),
            assumed=instead("0", old.assumed),
            settled=instead(str(place), old.settled),
            human=instead(str(asked), old.human),
            evidence=old.evidence,
            lasting=instead("0", old.lasting),
        )

    def _outcome(self, columns: dict[str, _Column]) -> dict[str, str]:
        """The first outcome that applies, and the stops that come before any criterion."""
        pin = self._final.pin
        stops = pin(self._stops())
        against = [f"{c.effect} = {_AGAINST}" for c in columns.values()]
        lasting = [f"{c.lasting} = 1" for c in columns.values()]
        before = len(BEFORE_CONTACT)
        needs = [f"{c.settled} < {before}" for c in columns.values()]
        lines = [
            (f"{stops} <> 0", Outcome.NOT_SCREENED),
            (either(self._shut(columns)), Outcome.NOT_PROPOSED),
            (either(lasting), Outcome.NOT_ELIGIBLE),
            (either(against), Outcome.NOT_NOW),
            (either(needs), Outcome.NEEDS_DATA),
        ]
        said = " ".join(f"WHEN {c} THEN {OUTCOMES.index(outcome)}" for c, outcome in lines)
        outcome = f"CASE {said} ELSE {OUTCOMES.index(Outcome.CANDIDATE)} END"
        return {"stops": stops, "outcome": outcome, "pointers": self._pointers()}

    def _shut(self, columns: dict[str, _Column]) -> list[str]:
        """Gates that are against, or open and set to hold."""
        return [
            condition
            for criterion in self._study.criteria
            for condition in _shuts(criterion, columns[criterion.id])
        ]

    def _call(self, name: str, column: _Column) -> str:
        """The outcome that one criterion calls for, whatever the others say."""
        criterion = next(one for one in self._study.criteria if one.id == name)
        lines = [
            (either(_shuts(criterion, column)), Outcome.NOT_PROPOSED),
            (f"{column.lasting} = 1", Outcome.NOT_ELIGIBLE),
            (f"{column.effect} = {_AGAINST}", Outcome.NOT_NOW),
            (f"{column.settled} < {len(BEFORE_CONTACT)}", Outcome.NEEDS_DATA),
        ]
        said = " ".join(f"WHEN {c} THEN {OUTCOMES.index(outcome)}" for c, outcome in lines)
        return f"CASE {said} ELSE {OUTCOMES.index(Outcome.CANDIDATE)} END"

    def _pointers(self) -> str:
        parts: list[str] = []
        for pointer in self._study.pointers:
            block = Block()
            with self.inputs.listening() as sets:
                answer = self._nodes.scope(block, _FREE, None).node(pointer.test)
            there = {"there": f"CASE WHEN {answer.truth} = 2 THEN 1 ELSE 0 END"}
            table = self._classes.table("pointer_", block, there, sets)
            parts.append(self._final.take(table, "there"))
        return " + ".join(parts) or "0"

    def _stops(self) -> str:
        """A mask of stops, by their place in STOPS; the basis is the runner's to say."""
        columns = self._person.stops()
        parts = [
            f"CASE WHEN {self._final.take('p', column)} = 1 THEN {1 << STOPS.index(stop)} "
            "ELSE 0 END"
            for stop, column in columns.items()
        ]
        return " | ".join([self._final.take("p", "told_stops"), *parts])


def _shuts(criterion: Criterion, column: _Column) -> list[str]:
    """Conditions under which this gate shuts the study; none where it is no gate."""
    gate = criterion.gate
    if isinstance(gate, str):
        return []
    found = [f"{column.effect} = {_AGAINST}"]
    if gate.if_open == "hold":
        listed = [r.value for r in Reason if r.code in gate.list_when]
        human = Reason.NEEDS_HUMAN.value
        excepted = [f"{column.reason} = {value}" for value in listed]
        excepted.append(f"({column.reason} = {human} AND {column.human} = 1)")
        found.append(f"({column.effect} = {_OPEN} AND NOT {either(excepted)})")
    return found
