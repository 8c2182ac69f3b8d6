"""One node's answer as expressions of a block: truth, what keeps it open, evidence.

Truth is 0 FALSE, 1 UNKNOWN, 2 TRUE. What keeps an answer open is one mask of reasons per
question ("" where the node names none); the reason shown is the lowest bit of all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fhir_adapter.evaluate.cohort.script import Block, Script, greatest, least
from fhir_adapter.model.dates import EARLIEST
from fhir_adapter.model.truth import Reason

_ALL = sum(1 << reason.value for reason in Reason)
FALSE, UNKNOWN, TRUE = "0", "1", "2"
PACK = 2**20
"""Three fact numbers are packed into one integer, each below this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """Up to three packed facts of one leaf, shown while a condition holds."""

    table: str
    """The relation that has them, with at most one row per patient; empty: names of the block."""
    facts: str
    newest: str = ""
    """Its column for the latest instant at which one of them may start; empty: never asked."""
    when: str = "TRUE"
    decides: str = "TRUE"
    """Whether they are the deciding values: what a confounder puts in doubt."""

    def only(self, block: Block, condition: str) -> Slot:
        """The same under one more condition."""
        when = condition if self.when == "TRUE" else f"{self.when} AND {condition}"
        return replace(self, when=when if condition == "TRUE" else block.pin(when))


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Truth, open masks by question, whether it rests on a policy, evidence in tree order."""

    truth: str
    opens: tuple[tuple[str, str], ...] = ()
    """(question, mask expression); zero where the answer is decided."""
    assumed: str = "FALSE"
    evidence: tuple[Slot, ...] = ()


def bit(reason: Reason) -> int:
    """The mask of one reason."""
    return int(1 << reason.value)


def exclusive(block: Block, slots: Sequence[Slot]) -> Slot:
    """One slot of several, of which at most one is shown at a time."""
    facts = " ".join(
        f"WHEN {slot.when} THEN {block.take(slot.table, slot.facts)}" for slot in slots
    )
    last = " ".join(
        f"WHEN {slot.when} THEN {block.take(slot.table, slot.newest)}"
        for slot in slots
        if slot.newest
    )
    decides = " ".join(f"WHEN {slot.when} THEN {slot.decides}" for slot in slots)
    return Slot(
        table="",
        facts=block.pin(f"CASE {facts} END"),
        newest=block.pin(f"CASE {last} END") if last else "",
        decides=block.pin(f"CASE {decides} ELSE FALSE END"),
    )


def boxed(block: Block, script: Script, inner: Block, answer: Answer) -> Answer:
    """An answer that was worked out in a block of its own, as a table that ``block`` reads."""
    columns = {"truth": answer.truth}
    questions = [question for question, _ in answer.opens]
    columns |= {f"open{n}": mask for n, (_, mask) in enumerate(answer.opens)}
    if answer.assumed != "FALSE":
        columns["assumed"] = answer.assumed
    for number, slot in enumerate(answer.evidence):
        columns[f"facts{number}"] = shown(inner, slot)
        columns[f"last{number}"] = _last(inner, slot)
        if slot.decides not in ("TRUE", "FALSE"):
            columns[f"decides{number}"] = slot.decides
    table = script.block("n", inner, columns)
    return Answer(
        truth=block.take(table, "truth"),
        opens=tuple((q, block.take(table, f"open{n}")) for n, q in enumerate(questions)),
        assumed="FALSE" if answer.assumed == "FALSE" else block.take(table, "assumed"),
        evidence=tuple(
            Slot(
                table=table,
                facts=f"facts{number}",
                newest=f"last{number}",
                decides=slot.decides
                if slot.decides in ("TRUE", "FALSE")
                else block.take(table, f"decides{number}"),
            )
            for number, slot in enumerate(answer.evidence)
        ),
    )


def _column(block: Block, slot: Slot, name: str) -> str:
    return block.take(slot.table, name) if slot.table else name


def _last(block: Block, slot: Slot) -> str:
    return _column(block, slot, slot.newest) if slot.newest else str(EARLIEST)


def decided(truth: str) -> str:
    """Condition: the truth is not UNKNOWN."""
    return f"{truth} <> {UNKNOWN}"


def bits_of(number: str) -> str:
    """The mask of a reason's number (an expression); zero where there is none."""
    return f"COALESCE((CAST(1 AS BIGINT) << CAST({number} AS INT)) & {_ALL}, 0)"


def lowest(mask: str) -> str:
    """The first reason of a mask, as its number; NULL where there is none."""
    cases = " ".join(
        f"WHEN ({mask} & {bit(reason)}) <> 0 THEN {reason.value}" for reason in sorted(Reason)
    )
    return f"CASE {cases} END"


def merged(opens: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """One mask per question."""
    found: dict[str, list[str]] = {}
    for question, mask in opens:
        found.setdefault(question, []).append(mask)
    return tuple((question, " | ".join(masks)) for question, masks in found.items())


def pinned(block: Block, answer: Answer) -> Answer:
    """The same with truth, masks and assumption named."""
    return replace(
        answer,
        truth=block.pin(answer.truth),
        opens=tuple((q, block.pin(mask)) for q, mask in answer.opens),
        assumed=answer.assumed
        if answer.assumed == "FALSE"
        else block.pin(f"COALESCE({answer.assumed}, FALSE)"),
    )


def all_of(block: Block, parts: Sequence[Answer]) -> Answer:
    """Conjunction: the reasons are those of every child that keeps it unknown."""
    truth = block.pin(least([part.truth for part in parts]) if parts else TRUE)
    return _combined(block, truth, parts, decisive=FALSE)


def any_of(block: Block, parts: Sequence[Answer]) -> Answer:
    """Disjunction, likewise."""
    truth = block.pin(greatest([part.truth for part in parts]) if parts else FALSE)
    return _combined(block, truth, parts, decisive=TRUE)


def _combined(block: Block, truth: str, parts: Sequence[Answer], *, decisive: str) -> Answer:
    """It rests on a policy where every child that decides it does, or any that all had to hold."""
    rests = [part for part in parts if part.assumed != "FALSE"]
    some = [f"({part.assumed} AND {part.truth} = {truth})" for part in rests]
    firm = [
        f"({part.truth} = {truth})"
        if part.assumed == "FALSE"
        else f"({part.truth} = {truth} AND NOT {part.assumed})"
        for part in parts
    ]
    assumed = "FALSE"
    if rests:
        any_ = " OR ".join(some)
        all_ = f"({any_}) AND NOT ({' OR '.join(firm)})"
        assumed = (
            f"CASE WHEN {truth} = {UNKNOWN} THEN FALSE WHEN {truth} = {decisive} "
            f"THEN {all_} ELSE {any_} END"
        )
    return pinned(
        block,
        Answer(
            truth=truth,
            opens=_open(truth, parts),
            assumed=assumed,
            evidence=_kept(block, truth, parts),
        ),
    )


def at_least(block: Block, n: int, parts: Sequence[Answer]) -> Answer:
    """At least n of the children."""
    true = " + ".join(f"CASE WHEN {p.truth} = 2 THEN 1 ELSE 0 END" for p in parts) or "0"
    not_false = " + ".join(f"CASE WHEN {p.truth} = 0 THEN 0 ELSE 1 END" for p in parts) or "0"
    truth = block.pin(f"CASE WHEN {true} >= {n} THEN 2 WHEN {not_false} >= {n} THEN 1 ELSE 0 END")
    firm = (
        " + ".join(
            f"CASE WHEN {p.truth} = {truth} AND NOT {p.assumed} THEN 1 ELSE 0 END" for p in parts
        )
        or "0"
    )
    needed = f"CASE WHEN {truth} = 2 THEN {n} ELSE {len(parts) - n + 1} END"
    assumed = f"{decided(truth)} AND ({firm}) < {needed}"
    return pinned(
        block,
        Answer(
            truth=truth,
            opens=_open(truth, parts),
            assumed=assumed,
            evidence=_kept(block, truth, parts),
        ),
    )


def negated(block: Block, part: Answer) -> Answer:
    """Negation keeps evidence and reasons."""
    return replace(part, truth=block.pin(f"2 - {part.truth}"))


def _open(truth: str, parts: Sequence[Answer]) -> tuple[tuple[str, str], ...]:
    return merged(
        [
            (question, f"CASE WHEN {truth} = {UNKNOWN} THEN {mask} ELSE 0 END")
            for part in parts
            for question, mask in part.opens
        ]
    )


def _kept(block: Block, truth: str, parts: Sequence[Answer]) -> tuple[Slot, ...]:
    if len(parts) == 1:
        return parts[0].evidence
    return tuple(
        slot.only(block, f"{part.truth} = {truth}") for part in parts for slot in part.evidence
    )


def shown(block: Block, slot: Slot) -> str:
    """A slot's packed facts, zero where it is not shown."""
    facts = f"COALESCE({_column(block, slot, slot.facts)}, 0)"
    return facts if slot.when == "TRUE" else f"CASE WHEN {slot.when} THEN {facts} ELSE 0 END"


def newest(block: Block, slots: Sequence[Slot]) -> str:
    """The latest instant at which any fact that is shown may start."""
    found = [
        f"CASE WHEN {slot.when} AND COALESCE({_column(block, slot, slot.facts)}, 0) <> 0 "
        f"THEN {_last(block, slot)} ELSE {EARLIEST} END"
        for slot in slots
    ]
    return greatest(found) if found else str(EARLIEST)


def packed(condition: str = "", best: str = "") -> str:
    """Aggregate: the newest three facts of a group for which this holds, packed into one integer.

    Facts are numbered newest first. ``best``: only among those whose ``best`` (a small number) is
    the least of all. The function is each engine's own words (warehouse/dialects.py).
    """
    return f"FIRST_THREE({_key(condition, best)})"


def newest_of(condition: str = "", best: str = "") -> str:
    """Aggregate: the latest instant at which one of those three may start; NULL without any."""
    return f"LATEST_OF_THREE({_key(condition, best)}, last_start)"


def _key(condition: str, best: str) -> str:
    key = f"{best} * {PACK} + seq" if best else "seq"
    return f"CASE WHEN {condition} THEN {key} END" if condition else key


def unpack(value: int) -> tuple[int, ...]:
    """The fact numbers of one packed integer, in the order in which they are shown.

    >>> unpack(7 + 9 * 2**20)
    (7, 9)
    """
    numbers = (value % PACK, value // PACK % PACK, value // PACK**2)
    return tuple(number for number in numbers if number)
