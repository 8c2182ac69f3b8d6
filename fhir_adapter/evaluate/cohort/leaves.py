"""Nodes over events in SQL: any, count-at-least, lasts.

Each makes one table with a row per patient who has any such fact at all, and an answer in the
block that reads it. The same rules as ``evaluate/retrieve.py`` and ``evaluate/changes.py``.
"""

from __future__ import annotations

from fhir_adapter.evaluate.cohort.answer import (
    Answer,
    Slot,
    bits_of,
    exclusive,
    merged,
    newest_of,
    packed,
    pinned,
)
from fhir_adapter.evaluate.cohort.members import FAILED, OUT, TOO_COARSE
from fhir_adapter.evaluate.cohort.silence import Silence
from fhir_adapter.evaluate.cohort.windows import shifted
from fhir_adapter.model.dates import DATE_LATEST, LATEST, Duration
from fhir_adapter.model.truth import Reason

_LAST_REASON = max(reason.value for reason in Reason)
NEWEST_IN_WINDOW = "MAX(CASE WHEN place > 0 THEN start_lo END) AS newest"


def leaf(
    silence: Silence,
    lines: list[tuple[str, str, str]],
    *,
    there: str,
    newest: str,
    evidence: tuple[Slot, ...],
    more: tuple[Slot, ...] = (),
    nothing_is_absent: bool = False,
) -> Answer:
    """The answer of a leaf; ``lines`` are (condition, truth, reason), the first that holds.

    Where nothing of these codes is there at all (``there`` is NULL), or no line holds, silence
    answers. Of ``evidence`` one is shown at a time, ``more`` stands beside it;
    ``nothing_is_absent`` leaves it to silence, too, what was not pulled.
    """
    block = silence.block
    absent = silence.answer(newest)
    if not nothing_is_absent:
        whole = block.pin(silence.not_whole)
        lines = [(f"{there} IS NULL AND {whole} IS NOT NULL", "1", whole), *lines]
    stages = " ".join(
        f"WHEN {c if there in c else f'{there} IS NOT NULL AND {c}'} THEN {number}"
        for number, (c, _, _) in enumerate(lines, 1)
    )
    stage = block.pin(f"CASE {stages} ELSE 0 END")
    spoke = block.pin(f"{stage} = 0")
    truth = block.pin(_by_stage(stage, absent.truth, [value for _, value, _ in lines]))
    reason = block.pin(_by_stage(stage, "0", [why for _, _, why in lines]))
    own = f"CASE WHEN {truth} = 1 AND NOT {spoke} THEN {bits_of(reason)} ELSE 0 END"
    own_slots = [slot.only(block, f"NOT {spoke}") for slot in evidence]
    quiet_slots = [slot.only(block, spoke) for slot in absent.evidence]
    either = (*own_slots, *quiet_slots[:1])
    beside = (*(slot.only(block, f"NOT {spoke}") for slot in more), *quiet_slots[1:])
    quiet = [(q, f"CASE WHEN {spoke} THEN {mask} ELSE 0 END") for q, mask in absent.opens]
    assumed = "FALSE" if absent.assumed == "FALSE" else f"{spoke} AND {absent.assumed}"
    return pinned(
        block,
        Answer(
            truth=truth,
            opens=merged([("", own), *quiet]),
            assumed=assumed,
            evidence=(exclusive(block, either), *beside),
        ),
    )


def _by_stage(stage: str, silent: str, values: list[str]) -> str:
    said = " ".join(f"WHEN {number} THEN {value}" for number, value in enumerate(values, 1))
    return f"CASE {stage} WHEN 0 THEN {silent} {said} END"


def any_member(silence: Silence) -> Answer:
    """Node ``any``."""
    members = silence.rows.members(silence.events)
    table = silence.shop.script.add(
        "g",
        f"SELECT patient, MIN(c) AS c, {packed(best='c')} AS facts, "
        f"{newest_of(best='c')} AS last, {NEWEST_IN_WINDOW} FROM {members} GROUP BY patient",
    )
    take = silence.block.take
    c = take(table, "c")
    problem = silence.block.pin(silence.problem)
    lines = [
        (f"{silence.empty} AND {c} = {OUT}", "0", "0"),
        (f"{c} = 0", "2", "0"),
        (f"{problem} IS NOT NULL", "1", problem),
        (f"{c} <= {_LAST_REASON}", "1", c),
        (f"{c} = {FAILED}", "0", "0"),
    ]
    clear = f"({c} = 0 OR ({problem} IS NULL AND {c} <= {FAILED}))"
    slot = Slot(
        table=table, facts="facts", newest="last", when=silence.block.pin(clear),
        decides=f"{c} = 0",
    )  # fmt: skip
    return leaf(
        silence, lines, there=take(table, "patient"), newest=take(table, "newest"), evidence=(slot,)
    )


def count_at_least(silence: Silence, n: int) -> Answer:
    """Node ``count-at-least``."""
    members = silence.rows.members(silence.events)
    maybe = f"c BETWEEN 1 AND {_LAST_REASON}"
    table = silence.shop.script.add(
        "g",
        f"SELECT patient, COUNT(CASE WHEN c = 0 THEN 1 END) AS sure, "
        f"COUNT(CASE WHEN {maybe} THEN 1 END) AS possible, "
        f"COUNT(CASE WHEN c = {FAILED} THEN 1 END) AS failed, "
        f"COUNT(CASE WHEN c < {OUT} THEN 1 END) AS inside, "
        f"MIN(CASE WHEN {maybe} THEN c END) AS why, "
        f"{packed('c = 0')} AS of_sure, {packed(maybe, best='c')} AS of_possible, "
        f"{packed(f'c = {FAILED}')} AS of_failed, "
        f"{newest_of('c = 0')} AS last_sure, {newest_of(maybe, best='c')} AS last_possible, "
        f"{newest_of(f'c = {FAILED}')} AS last_failed, "
        f"{NEWEST_IN_WINDOW} FROM {members} GROUP BY patient",
    )
    take, pin = silence.block.take, silence.block.pin
    sure, possible, why = take(table, "sure"), take(table, "possible"), take(table, "why")
    problem = pin(silence.problem)
    reachable = f"{sure} + {possible} >= {n}"
    some = f"{sure} > 0 AND {problem} IS NULL"
    lines = [
        (f"{sure} >= {n}", "2", "0"),
        (f"{some} AND NOT ({reachable})", "0", "0"),
        (some, "1", why),
        (f"{silence.empty} AND {take(table, 'inside')} = 0", "0", "0"),
        (f"{problem} IS NOT NULL", "1", problem),
        (f"{possible} > 0 AND {reachable}", "1", why),
        (f"{take(table, 'failed')} > 0", "0", "0"),
    ]
    enough = f"{sure} >= {n}"
    too_few = f"NOT ({enough}) AND {some} AND NOT ({reachable})"
    doubtful = f"NOT ({enough}) AND {problem} IS NULL AND {possible} > 0 AND {reachable}"
    failed = f"{sure} = 0 AND {problem} IS NULL AND NOT ({possible} > 0 AND {reachable})"
    evidence = (
        Slot(table=table, facts="of_sure", newest="last_sure",
             when=pin(f"(({enough}) OR ({too_few}))")),
        Slot(table=table, facts="of_possible", newest="last_possible",
             when=pin(doubtful), decides="FALSE"),
        Slot(table=table, facts="of_failed", newest="last_failed",
             when=pin(failed), decides="FALSE"),
    )  # fmt: skip
    return leaf(
        silence, lines, there=take(table, "patient"), newest=take(table, "newest"),
        evidence=evidence,
    )  # fmt: skip


def lasts(silence: Silence, length: Duration) -> Answer:
    """Node ``lasts``; a running event has lasted until as_of."""
    members = silence.rows.members(silence.events)
    maybe = f"c BETWEEN 1 AND {_LAST_REASON}"
    group = (
        f"CASE WHEN c = 0 AND long = 2 THEN 0 WHEN c = 0 AND long = 1 THEN 1 "
        f"WHEN {maybe} THEN 2 WHEN c = 0 THEN 3 ELSE 4 END"
    )
    table = silence.shop.script.add(
        "g",
        f"SELECT patient, MIN(grp) AS best, MIN(CASE WHEN {maybe} THEN c END) AS why, "
        f"COUNT(CASE WHEN c = {FAILED} THEN 1 END) AS failed, "
        f"COUNT(CASE WHEN c < {OUT} THEN 1 END) AS inside, {packed(best='grp')} AS facts, "
        f"{newest_of(best='grp')} AS last, {NEWEST_IN_WINDOW} "
        f"FROM (SELECT patient, c, place, start_lo, last_start, seq, {group} AS grp "
        f"FROM (SELECT f.*, {_long(length)} AS long FROM {members} f "
        "JOIN p ON p.patient = f.patient) AS y) AS z GROUP BY patient",
    )
    take, pin = silence.block.take, silence.block.pin
    best, why, problem = take(table, "best"), take(table, "why"), pin(silence.problem)
    empty = f"({silence.empty} AND {take(table, 'inside')} = 0)"
    lines = [
        (f"{best} = 0", "2", "0"),
        (f"{problem} IS NOT NULL AND NOT {empty}", "1", problem),
        (f"{best} IN (1, 2)", "1", f"COALESCE({why}, {TOO_COARSE})"),
        (f"{best} = 3 OR {take(table, 'failed')} > 0 OR {empty}", "0", "0"),
    ]
    slot = Slot(
        table=table,
        facts="facts",
        newest="last",
        when=pin(f"({best} = 0 OR ({problem} IS NULL AND {best} IN (1, 2, 3)))"),
        decides=f"{best} IN (0, 3)",
    )
    return leaf(
        silence, lines, there=take(table, "patient"), newest=take(table, "newest"), evidence=(slot,)
    )


def _long(length: Duration) -> str:
    """Whether one event certainly, perhaps or not runs that long."""
    running = f"(f.end_lo >= {LATEST} OR f.end_date_lo >= {DATE_LATEST})"
    if length.is_hours:
        end_lo = f"CASE WHEN {running} THEN p.as_of ELSE f.end_lo END"
        sure = f"{end_lo} - f.start_hi >= {length.micros}"
        perhaps = f"LEAST(f.end_hi, p.as_of) - f.start_lo >= {length.micros}"
    else:
        end_lo = f"CASE WHEN {running} THEN p.as_of_date ELSE f.end_date_lo END"
        sure = f"{shifted('f.start_date_hi', length, 1)} <= {end_lo}"
        perhaps = f"{shifted('f.start_date_lo', length, 1)} <= LEAST(f.end_date_hi, p.as_of_date)"
    return f"CASE WHEN {sure} THEN 2 WHEN {perhaps} THEN 1 ELSE 0 END"
