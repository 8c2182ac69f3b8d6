"""Dispatch on the closed table: one function per node, as in ``evaluate/compiler.py``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from fhir_adapter.evaluate.absence import Absence
from fhir_adapter.evaluate.cohort import answer as answers
from fhir_adapter.evaluate.cohort.anchors import Anchors
from fhir_adapter.evaluate.cohort.answer import Answer, Slot, bit, bits_of, boxed, pinned
from fhir_adapter.evaluate.cohort.ask import Question
from fhir_adapter.evaluate.cohort.changes import change, paired
from fhir_adapter.evaluate.cohort.confounders import Unconfounded, deciding_values
from fhir_adapter.evaluate.cohort.leaves import any_member, count_at_least, lasts
from fhir_adapter.evaluate.cohort.members import Rows, Workshop
from fhir_adapter.evaluate.cohort.person import COUNTS
from fhir_adapter.evaluate.cohort.score import Scoring
from fhir_adapter.evaluate.cohort.script import Block
from fhir_adapter.evaluate.cohort.selection import selection
from fhir_adapter.evaluate.cohort.silence import Silence
from fhir_adapter.evaluate.cohort.windows import PRESENT, UNKNOWN
from fhir_adapter.evaluate.compiler import duration
from fhir_adapter.evaluate.values import to_canonical
from fhir_adapter.model import criterion as tree
from fhir_adapter.model.calculator import Calculator
from fhir_adapter.model.criterion import Events, Node
from fhir_adapter.model.dates import DATE_EARLIEST, DATE_LATEST, Duration
from fhir_adapter.model.fact import Kind
from fhir_adapter.model.quantity import Quantity
from fhir_adapter.model.study import Study
from fhir_adapter.model.truth import Reason
from fhir_adapter.model.vocabulary import BIRTH_DATE, DECEASED, SEX, question_code

_OverEvents = (
    tree.Any
    | tree.CountAtLeast
    | tree.Lasts
    | tree.Paired
    | tree.Rise
    | tree.Fall
    | tree.Latest
    | tree.Earliest
    | tree.Lowest
    | tree.Highest
)
_Boxed = _OverEvents | tree.UnlessConfounded | tree.Score | tree.Ask


@dataclass(slots=True)
class Nodes:
    """Answers of the nodes of one study; made with one workshop."""

    study: Study
    shop: Workshop
    rows: Rows
    anchors: Anchors
    calculators: Mapping[str, Calculator]

    def scope(self, block: Block, absence: Absence, fresh: Duration | None) -> Scope:
        """Nodes of one criterion: they share its absence policy and freshness limit."""
        return Scope(nodes=self, block=block, absence=absence, fresh=fresh)

    def valid_for(self, question: str) -> Duration | None:
        """How long an answer to a question holds."""
        found = next(q for q in self.study.questions if q.id == question)
        return duration(found.valid_for)


@dataclass(frozen=True, slots=True)
class Scope:
    """One criterion's nodes in one block."""

    nodes: Nodes
    block: Block
    absence: Absence
    fresh: Duration | None

    def node(self, node: Node) -> Answer:
        """The answer of one node."""
        match node:
            case tree.AllOf():
                return answers.all_of(self.block, [self.node(part) for part in node.of])
            case tree.AnyOf():
                return answers.any_of(self.block, [self.node(part) for part in node.of])
            case tree.AtLeast():
                return answers.at_least(self.block, node.n, [self.node(part) for part in node.of])
            case tree.Not():
                return answers.negated(self.block, self.node(node.of))
            case tree.Age() | tree.Sex() | tree.Alive():
                return self._patient(node)
            case tree.InEpisode():
                return self._in_episode(node.anchor)
            case tree.Unsupported():
                return Answer(truth="1", opens=(("", str(bit(Reason.UNSUPPORTED))),))
            case _:
                return self._boxed(node)

    def _patient(self, node: tree.Age | tree.Sex | tree.Alive) -> Answer:
        match node:
            case tree.Age():
                return self._age(node)
            case tree.Sex():
                return self._sex(node)
            case tree.Alive():  # exhaustive
                return self._alive()

    def _boxed(self, node: _Boxed) -> Answer:
        """A node that reads tables of its own becomes a table: the block above stays narrow."""
        inner = replace(self, block=Block())
        match node:
            case tree.UnlessConfounded():
                made = inner.unconfounded(node)
            case tree.Score():
                made = inner.score(node)
            case tree.Ask():
                made = inner.ask(node)
            case _:
                made = inner.over_events(node)
        return boxed(self.block, self.nodes.shop.script, inner.block, made)

    def silence(self, events: Events) -> Silence:
        """Silence about a retrieve, as this criterion reads it."""
        return Silence(
            block=self.block,
            shop=self.nodes.shop,
            rows=self.nodes.rows,
            events=events,
            absence=self.absence,
        )

    def over_events(self, node: _OverEvents) -> Answer:
        """A node over events, in this block."""
        match node:
            case tree.Any():
                return any_member(self.silence(node.of))
            case tree.CountAtLeast():
                return count_at_least(self.silence(node.of), node.n)
            case tree.Lasts():
                return lasts(self.silence(node.of), Duration.parse(node.at_least))
            case tree.Paired():
                within = Duration.parse(node.within)
                return paired(self.silence(node.first), self.silence(node.second), within)
            case tree.Rise() | tree.Fall():
                return self._change(node)
            case tree.Latest() | tree.Earliest() | tree.Lowest() | tree.Highest():  # exhaustive
                fresh = self.fresh if isinstance(node, tree.Latest) else None
                fresh = fresh if node.fresh is None else duration(node.fresh)
                return selection(self.silence(node.of), node, fresh)

    def _change(self, node: tree.Rise | tree.Fall) -> Answer:
        by = None
        if node.by is not None:
            analyte = self.nodes.shop.analyte(node.of)
            by = to_canonical(Quantity.parse(node.by), analyte, offset=False)
        return change(self.silence(node.of), node, by)

    # ------------------------------------------------------------------ the patient

    def _missing(self) -> str:
        """NOT_RETRIEVED or NEVER_RECORDED, by whether the Patient was pulled."""
        pulled = self.block.take("p", self.nodes.shop.person.pulled(Kind.PATIENT))
        return (
            f"CASE WHEN {pulled} IS NOT NULL THEN {Reason.NOT_RETRIEVED.value} "
            f"ELSE {Reason.NEVER_RECORDED.value} END"
        )

    def _of_patient(self, name: str, truth: str, reason: str) -> Answer:
        """An answer that rests on one fact about the patient."""
        told = self.block.pin(truth)
        mask = f"CASE WHEN {told} = 1 THEN {bits_of(f'({reason})')} ELSE 0 END"
        slot = Slot(table="p", facts=f"{name}_seq", newest=f"{name}_last_start")
        return pinned(self.block, Answer(truth=told, opens=(("", mask),), evidence=(slot,)))

    def _age(self, node: tree.Age) -> Answer:
        self.nodes.shop.person.fact("born", BIRTH_DATE)
        take = self.block.take
        seq, standing = take("p", "born_seq"), take("p", "born_standing")
        lo, hi = take("p", "born_start_date_lo"), take("p", "born_start_date_hi")
        dated = f"{lo} > {DATE_EARLIEST} AND {hi} < {DATE_LATEST} AND {standing} = {COUNTS}"
        today = take("p", "as_of_date")
        oldest, youngest = f"YEARS_BETWEEN({lo}, {today})", f"YEARS_BETWEEN({hi}, {today})"
        bounds: list[str] = []
        if node.min is not None:
            bounds.append(
                f"CASE WHEN {youngest} >= {node.min} THEN 2 WHEN {oldest} < {node.min} "
                "THEN 0 ELSE 1 END"
            )
        if node.max is not None:
            bounds.append(
                f"CASE WHEN {oldest} <= {node.max} THEN 2 WHEN {youngest} > {node.max} "
                "THEN 0 ELSE 1 END"
            )
        within = f"LEAST({', '.join(bounds)}, 2)" if bounds else "2"
        truth = f"CASE WHEN {seq} IS NULL OR NOT ({dated}) THEN 1 ELSE {within} END"
        coarse = Reason.DATE_MISSING_OR_TOO_COARSE.value
        reason = f"CASE WHEN {seq} IS NULL THEN {self._missing()} ELSE {coarse} END"
        return self._of_patient("born", truth, reason)

    def _sex(self, node: tree.Sex) -> Answer:
        self.nodes.shop.person.fact("sex", SEX)
        take = self.block.take
        seq, valued = take("p", "sex_seq"), take("p", "sex_coded")
        female, male = take("p", "says_female"), take("p", "says_male")
        wanted = female if node.is_ == "female" else male
        silent = f"({seq} IS NULL OR {valued} = 0)"
        truth = (
            f"CASE WHEN {silent} OR ({female} = 0 AND {male} = 0) THEN 1 "
            f"WHEN {wanted} = 1 THEN 2 ELSE 0 END"
        )
        unusable = Reason.RECORDED_UNUSABLE.value
        reason = f"CASE WHEN {silent} THEN {self._missing()} ELSE {unusable} END"
        made = self._of_patient("sex", truth, reason)
        shown = tuple(slot.only(self.block, f"NOT {silent}") for slot in made.evidence)
        return replace(made, evidence=shown)

    def _alive(self) -> Answer:
        self.nodes.shop.person.fact("died", DECEASED)
        seq = self.block.take("p", "died_seq")
        pulled = self.block.take("p", self.nodes.shop.person.pulled(Kind.PATIENT))
        truth = f"CASE WHEN {seq} IS NOT NULL THEN 0 WHEN {pulled} IS NOT NULL THEN 1 ELSE 2 END"
        return self._of_patient("died", truth, str(Reason.NOT_RETRIEVED.value))

    def _in_episode(self, name: str) -> Answer:
        table = self.nodes.anchors.table(name)
        take = self.block.take
        state = take(table, "state")
        truth = self.block.pin(
            f"CASE WHEN {state} = {PRESENT} THEN 2 WHEN {state} = {UNKNOWN} THEN 1 ELSE 0 END"
        )
        reason = f"COALESCE({take(table, 'reason')}, {Reason.NEVER_RECORDED.value})"
        mask = f"CASE WHEN {truth} = 1 THEN {bits_of(f'({reason})')} ELSE 0 END"
        slot = Slot(table=table, facts="facts", newest="last", decides="FALSE")
        return pinned(self.block, Answer(truth=truth, opens=(("", mask),), evidence=(slot,)))

    # ------------------------------------------------------------------ people, scores

    def unconfounded(self, node: tree.UnlessConfounded) -> Answer:
        """Node ``unless-confounded``, in this block."""
        alone = Block()
        test = replace(self, block=alone).node(node.test)
        values, slots = deciding_values(self.nodes.shop, test, alone)
        return Unconfounded(
            block=self.block,
            shop=self.nodes.shop,
            rows=self.nodes.rows,
            node=node,
            test=self.node(node.test),
            values=values,
            slots=slots,
        ).answer()

    def score(self, node: tree.Score) -> Answer:
        """Node ``score``, in this block."""
        return Scoring(
            block=self.block,
            shop=self.nodes.shop,
            rows=self.nodes.rows,
            absence=self.absence,
            node=node,
            calculator=self.nodes.calculators[node.calculator],
        ).answer()

    def ask(self, node: tree.Ask) -> Answer:
        """Node ``ask``, in this block."""
        parts = [
            None if part is None else self.node(part)
            for part in (node.yes_if, node.no_if, node.raised_by)
        ]
        return Question(
            block=self.block,
            shop=self.nodes.shop,
            code=question_code(self.nodes.study.id, node.question),
            question=node.question,
            valid_for=self.nodes.valid_for(node.question) or self.fresh,
            yes=parts[0],
            no=parts[1],
            raised=parts[2],
            raised_as=Reason.named(node.raised_as),
        ).answer()
