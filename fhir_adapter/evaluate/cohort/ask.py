"""Node ask in SQL: a person's dated answer first; without one, what data alone may say."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fhir_adapter.evaluate.cohort.answer import (
    Answer,
    Slot,
    bit,
    merged,
    newest,
    newest_of,
    packed,
    pinned,
)
from fhir_adapter.evaluate.cohort.members import Workshop
from fhir_adapter.evaluate.cohort.script import Block
from fhir_adapter.evaluate.cohort.windows import shifted
from fhir_adapter.model.code import Code
from fhir_adapter.model.dates import Duration
from fhir_adapter.model.fact import Kind
from fhir_adapter.model.tables import KIND_NUMBER, VALUE_ROLE
from fhir_adapter.model.truth import Reason
from fhir_adapter.model.vocabulary import NO, YES


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question in one block; the branches are answers of the same block."""

    block: Block
    shop: Workshop
    code: Code
    question: str
    valid_for: Duration | None
    yes: Answer | None
    no: Answer | None
    raised: Answer | None
    raised_as: Reason

    def answer(self) -> Answer:
        """A valid answer, unless newer data say the contrary; else the branches."""
        take, pin = self.block.take, self.block.pin
        table = self._answers()
        yes, no = take(table, "yes"), take(table, "no")
        given = pin(f"COALESCE({yes}, 0) + COALESCE({no}, 0) > 0")
        split = pin(f"{given} AND {yes} > 0 AND {no} > 0")
        said = f"CASE WHEN {yes} > 0 THEN 2 ELSE 0 END"
        data = self._data(take(table, "ever"))
        at = take(table, "at")
        contrary = pin(
            f"{given} AND NOT {split} AND {data.truth} <> 1 AND {data.truth} <> {said} "
            f"AND {newest(self.block, data.evidence)} > {at}"
        )
        truth = pin(
            f"CASE WHEN NOT {given} THEN {data.truth} WHEN {split} OR {contrary} THEN 1 "
            f"ELSE {said} END"
        )
        conflict = f"CASE WHEN {split} OR {contrary} THEN {bit(Reason.CONFLICT)} ELSE 0 END"
        opens = merged(
            [
                (self.question, conflict),
                *(
                    (question, f"CASE WHEN {given} THEN 0 ELSE {mask} END")
                    for question, mask in data.opens
                ),
            ]
        )
        own = Slot(table=table, facts="facts", newest="last", when=given)
        return pinned(
            self.block,
            Answer(
                truth=truth,
                opens=opens,
                assumed="FALSE" if data.assumed == "FALSE" else f"NOT {given} AND {data.assumed}",
                evidence=(
                    own,
                    *(
                        slot.only(self.block, f"(NOT {given} OR {contrary})")
                        for slot in data.evidence
                    ),
                ),
            ),
        )

    def _of_branch(self, part: Answer | None, stage: str, place: int) -> list[Slot]:
        """What a branch shows: when it decides, when both do, and when nobody does."""
        if part is None:
            return []
        shows = f"{stage} IN (0, {place}, 3, 4)"
        return [slot.only(self.block, shows) for slot in part.evidence]

    def _answers(self) -> str:
        """Table: the newest yes or no that still holds; ``ever``: somebody answered once."""
        number = self.shop.inputs.exact(self.code)
        says = {
            name: f"LEFT JOIN (SELECT DISTINCT patient, seq FROM hit WHERE role = {VALUE_ROLE} "
            f"AND set_no = {self.shop.inputs.exact(code)}) {name} "
            f"ON {name}.patient = f.patient AND {name}.seq = f.seq"
            for name, code in (("y", YES), ("n", NO))
        }
        given = self.shop.script.add(
            "q",
            "SELECT f.patient, f.seq, f.start_lo, f.last_start, f.start_date_hi, "
            "CASE WHEN y.seq IS NOT NULL THEN 1 ELSE 0 END AS yes, "
            "MAX(f.start_lo) OVER (PARTITION BY f.patient) AS at "
            f"FROM rel f {says['y']} {says['n']} WHERE f.set_no = {number} "
            f"AND f.kind = {KIND_NUMBER[Kind.ANSWER]} "
            "AND (y.seq IS NOT NULL OR n.seq IS NOT NULL)",
        )
        holds = f"q.start_lo = q.at AND {self._holds()}"
        return self.shop.script.add(
            "q",
            "SELECT patient, COUNT(1) AS ever, MAX(at) AS at, "
            "COUNT(CASE WHEN holds AND yes = 1 THEN 1 END) AS yes, "
            "COUNT(CASE WHEN holds AND yes = 0 THEN 1 END) AS no, "
            f"{packed('holds')} AS facts, "
            f"{newest_of('holds')} AS last FROM "
            f"(SELECT q.*, {holds} AS holds FROM {given} q JOIN p ON p.patient = q.patient) AS z "
            "GROUP BY patient",
        )

    def _holds(self) -> str:
        if self.valid_for is None:
            return "TRUE"
        if self.valid_for.is_hours:
            return f"q.last_start >= p.as_of - {self.valid_for.micros}"
        return f"q.start_date_hi >= {shifted('p.as_of_date', self.valid_for, -1)}"

    def _data(self, ever: str) -> Answer:
        """What data alone say: yes, no, both (a conflict), a question raised, or open."""
        pin = self.block.pin
        yes, no, raised = self.yes, self.no, self.raised
        says_yes = f"{yes.truth} = 2" if yes is not None else "FALSE"
        says_no = f"{no.truth} = 2" if no is not None else "FALSE"
        asks = f"{raised.truth} = 2" if raised is not None else "FALSE"
        stage = pin(
            f"CASE WHEN {says_yes} AND {says_no} THEN 0 WHEN {says_yes} THEN 1 "
            f"WHEN {says_no} THEN 2 WHEN {asks} THEN 3 ELSE 4 END"
        )
        branches = [part for part in (yes, no) if part is not None]
        unsure = [f"{part.truth} = 1" for part in branches]
        open_ = pin(f"{stage} = 4 AND ({' OR '.join(unsure) or 'FALSE'})")
        answered = f"CASE WHEN COALESCE({ever}, 0) > 0 THEN {bit(Reason.STALE)} "
        answered += f"ELSE {bit(Reason.NEEDS_HUMAN)} END"
        own = (
            f"CASE WHEN {stage} = 0 THEN {bit(Reason.CONFLICT)} "
            f"WHEN {stage} = 3 THEN {bit(self.raised_as)} "
            f"WHEN {stage} = 4 AND NOT {open_} THEN {answered} ELSE 0 END"
        )
        masks = [(self.question, own)]
        for part in branches:
            masks += [
                (question or self.question,
                 f"CASE WHEN {open_} AND {part.truth} = 1 THEN {mask} ELSE 0 END")
                for question, mask in part.opens
            ]  # fmt: skip
        first: tuple[Slot, ...] = () if raised is None else raised.evidence
        slots = [
            *(slot.only(self.block, f"{stage} = 3") for slot in first),
            *_once(self.block, self._of_branch(yes, stage, 1), self._of_branch(no, stage, 2)),
        ]
        resting = [
            f"({stage} = {place} AND {part.assumed})"
            for place, part in ((1, yes), (2, no))
            if part is not None and part.assumed != "FALSE"
        ]
        return pinned(
            self.block,
            Answer(
                truth=f"CASE {stage} WHEN 1 THEN 2 WHEN 2 THEN 0 ELSE 1 END",
                opens=merged(masks),
                assumed=" OR ".join(resting) or "FALSE",
                evidence=tuple(slots),
            ),
        )


def _once(block: Block, yes: list[Slot], no: list[Slot]) -> list[Slot]:
    """What both branches show alike (yes-if X, no-if not X) is shown once."""
    if [(s.table, s.facts) for s in yes] != [(s.table, s.facts) for s in no]:
        return [*yes, *no]
    return [
        replace(
            one,
            when=block.pin(f"({one.when}) OR ({other.when})"),
            decides=one.decides
            if one.decides == other.decides
            else f"({one.decides} OR {other.decides})",
        )
        for one, other in zip(yes, no, strict=True)
    ]
