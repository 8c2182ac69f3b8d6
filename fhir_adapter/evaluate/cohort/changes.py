"""Nodes over two facts in SQL: rise, fall, paired. The rules of ``evaluate/changes.py``."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from fhir_adapter.evaluate.cohort.answer import (
    PACK,
    Answer,
    Slot,
    bits_of,
    merged,
    newest_of,
    packed,
    pinned,
)
from fhir_adapter.evaluate.cohort.leaves import leaf
from fhir_adapter.evaluate.cohort.members import FAILED, OUT, TOO_COARSE, UNUSABLE
from fhir_adapter.evaluate.cohort.script import every, least
from fhir_adapter.evaluate.cohort.silence import Silence
from fhir_adapter.evaluate.cohort.values import IS_NUMERIC, number
from fhir_adapter.evaluate.cohort.windows import shifted
from fhir_adapter.model import criterion as tree
from fhir_adapter.model.dates import Duration
from fhir_adapter.model.truth import Reason

_LAST_REASON = max(reason.value for reason in Reason)
_FACT = "seq, start_lo, start_hi, last_start, start_date_lo, start_date_hi"


def near(one: str, two: str, limit: Duration) -> tuple[str, str]:
    """(surely, possibly) no further apart than the limit; closed."""
    if limit.is_hours:
        size = limit.micros
        close = f"GREATEST(0, {one}.start_lo - {two}.last_start, {two}.start_lo - {one}.last_start)"
        far = f"GREATEST({one}.last_start - {two}.start_lo, {two}.last_start - {one}.start_lo)"
        return f"{far} <= {size}", f"{close} <= {size}"
    first_hi = (
        f"CASE WHEN {one}.start_date_lo <= {two}.start_date_lo "
        f"THEN {one}.start_date_hi ELSE {two}.start_date_hi END"
    )
    second_lo = f"GREATEST({one}.start_date_lo, {two}.start_date_lo)"
    possibly = f"{second_lo} <= {shifted(f'({first_hi})', limit, 1)}"
    last = f"GREATEST({one}.start_date_hi, {two}.start_date_hi)"
    first = f"LEAST({one}.start_date_lo, {two}.start_date_lo)"
    return f"{last} <= {shifted(first, limit, 1)}", possibly


def change(silence: Silence, node: tree.Rise | tree.Fall, by: Decimal | None) -> Answer:
    """Nodes ``rise`` and ``fall``: the later value is a member, the earlier within reach."""
    members = silence.rows.members(node.of)
    base = silence.rows.every(node.of)
    pairs = silence.shop.script.add("j", _pairs(node, by, members, base))
    table = silence.shop.script.add("g", _summed(silence, members, pairs))
    take, pin = silence.block.take, silence.block.pin
    problem = pin(silence.problem)
    found, truth = take(table, "found"), take(table, "truth")
    lines = [
        (f"{silence.empty} AND {take(table, 'inside')} = 0", "0", "0"),
        (f"{truth} = 2", "2", "0"),
        (f"{problem} IS NOT NULL", "1", problem),
        (f"{truth} = 1", "1", f"COALESCE({take(table, 'why')}, {TOO_COARSE})"),
        (f"{found} > 0", "0", "0"),
    ]
    open_ = f"({truth} = 2 OR {problem} IS NULL)"
    evidence = (
        Slot(table=table, facts="one", newest="last_one", when=pin(f"{truth} = 2"),
             decides="FALSE"),
        Slot(table=table, facts="both", newest="last_both",
             when=pin(f"{truth} = 1 AND {open_}"), decides="FALSE"),
        Slot(table=table, facts="looked", newest="last_looked",
             when=pin(f"{truth} = 0 AND {open_}")),
    )  # fmt: skip
    later = (Slot(table=table, facts="two", newest="last_two", when=pin(f"{truth} = 2")),)
    return leaf(
        silence, lines, there=take(table, "patient"), newest=take(table, "newest"),
        evidence=evidence, more=later,
    )  # fmt: skip


def _pairs(node: tree.Rise | tree.Fall, by: Decimal | None, members: str, base: str) -> str:
    """Every pair within reach: (one, two), how certain, and where it stands in order."""
    surely, possibly = near("one", "two", Duration.parse(node.within))
    low, high = ("one", "two") if isinstance(node, tree.Rise) else ("two", "one")
    usable = " AND ".join(f"{f}.standing = 0 AND {IS_NUMERIC.format(f=f)}" for f in ("one", "two"))
    placed = "two.c = 0 AND one.start_hi <= two.start_lo"
    order = f"CASE WHEN {surely} AND {placed} THEN 2 ELSE 1 END"
    truth = f"CASE WHEN {usable} THEN {least([_compared(node, by, low, high), order])} ELSE 1 END"
    doubt = " , ".join(f"{f}.standing_reason" for f in ("one", "two"))
    unnumbered = " OR ".join(f"NOT {IS_NUMERIC.format(f=f)}" for f in ("one", "two"))
    one = ", ".join(f"one.{name} AS one_{name}" for name in ("seq", "start_lo", "last_start"))
    two = ", ".join(f"two.{name} AS two_{name}" for name in ("seq", "start_lo", "last_start"))
    return (
        f"SELECT two.patient, {one}, {two}, CASE WHEN two.c = 0 THEN 0 ELSE 1 END AS two_maybe, "
        f"{truth} AS truth, LEAST({doubt}, CASE WHEN {unnumbered} THEN {UNUSABLE} END) AS why "
        f"FROM {members} two JOIN ({base}) AS one ON one.patient = two.patient "
        f"AND one.seq <> two.seq AND one.start_lo < two.start_hi AND {possibly} "
        f"WHERE two.c <= {_LAST_REASON}"
    )


def _compared(node: tree.Rise | tree.Fall, by: Decimal | None, low: str, high: str) -> str:
    """Whether the higher value has certainly, perhaps or not grown enough over the lower."""

    def grown(lower: str, upper: str) -> str:
        parts = [f"{lower} IS NOT NULL", f"{upper} IS NOT NULL"]
        if by is not None:
            parts.append(f"{upper} - {lower} >= {number(by)}")
        if node.factor is not None:
            top, bottom = Decimal(node.factor).as_integer_ratio()
            parts.append(f"{upper} * {bottom} >= {lower} * {top}")
        return every(parts)

    sure = grown(f"{low}.value_hi", f"{high}.value_lo")
    perhaps = grown(f"{low}.value_lo", f"{high}.value_hi")
    unbounded = f"{low}.value_lo IS NULL OR {high}.value_hi IS NULL"
    return f"CASE WHEN {sure} THEN 2 WHEN {perhaps} OR {unbounded} THEN 1 ELSE 0 END"


def _summed(silence: Silence, members: str, pairs: str) -> str:
    """One row per patient: the best pair's truth, its facts, or all that were compared."""
    first = (
        "SELECT *, ROW_NUMBER() OVER (PARTITION BY patient ORDER BY truth DESC, "
        "CASE WHEN truth = 2 THEN two_start_lo ELSE two_maybe END, "
        "CASE WHEN truth = 2 THEN one_start_lo ELSE two_start_lo END, "
        f"two_maybe, two_seq, one_start_lo, one_seq) AS n FROM {pairs}"
    )
    pair = silence.shop.script.add(
        "j",
        "SELECT patient, MAX(truth) AS truth, COUNT(1) AS found, "
        "MIN(CASE WHEN truth = 1 THEN why END) AS why, "
        "MAX(CASE WHEN n = 1 THEN one_seq END) AS one, "
        "MAX(CASE WHEN n = 1 THEN two_seq END) AS two, "
        "MAX(CASE WHEN n = 1 THEN one_last_start END) AS last_one, "
        "MAX(CASE WHEN n = 1 THEN two_last_start END) AS last_two "
        f"FROM ({first}) AS s GROUP BY patient",
    )
    either_fact = (
        f"SELECT patient, one_seq AS seq, one_last_start AS last_start "
        f"FROM {pairs} UNION SELECT patient, two_seq, two_last_start FROM {pairs}"
    )
    looked = silence.shop.script.add(
        "j",
        f"SELECT patient, {packed()} AS looked, "
        f"{newest_of()} AS last_looked FROM ({either_fact}) AS s GROUP BY patient",
    )
    there = silence.shop.script.add(
        "j",
        f"SELECT patient, MAX(CASE WHEN place > 0 THEN start_lo END) AS newest, "
        f"COUNT(CASE WHEN c < {OUT} THEN 1 END) AS inside FROM {members} GROUP BY patient",
    )
    return (
        "SELECT t.patient, t.newest, t.inside, COALESCE(p.found, 0) AS found, "
        "COALESCE(p.truth, -1) AS truth, p.why, p.one, p.two, p.last_one, p.last_two, "
        f"LEAST(p.one, p.two) + GREATEST(p.one, p.two) * {PACK} AS both, "
        "GREATEST(p.last_one, p.last_two) AS last_both, l.looked, l.last_looked "
        f"FROM {there} t LEFT JOIN {pair} p ON p.patient = t.patient "
        f"LEFT JOIN {looked} l ON l.patient = t.patient"
    )


def paired(first: Silence, second: Silence, within: Duration) -> Answer:
    """Node ``paired``: one event of each kind, no further apart than ``within``."""
    one, two = first.rows.members(first.events), second.rows.members(second.events)
    surely, possibly = near("a", "b", within)
    possible = f"a.c <= {_LAST_REASON} AND b.c <= {_LAST_REASON} AND {possibly}"
    both = f"a.c = 0 AND b.c = 0 AND {surely}"
    why = "LEAST(CASE WHEN a.c > 0 THEN a.c END, CASE WHEN b.c > 0 THEN b.c END)"
    pairs = (
        f"SELECT a.patient, a.seq AS one, b.seq AS two, a.start_lo AS start_one, "
        "b.start_lo AS start_two, a.last_start AS last_one, b.last_start AS last_two, "
        f"CASE WHEN {both} THEN 1 ELSE 0 END AS sure, COALESCE({why}, {TOO_COARSE}) AS why, "
        "CASE WHEN a.c = 0 THEN 0 ELSE 1 END AS one_maybe, "
        "CASE WHEN b.c = 0 THEN 0 ELSE 1 END AS two_maybe "
        f"FROM {one} a JOIN {two} b ON b.patient = a.patient WHERE {possible}"
    )
    numbered = (
        "SELECT *, ROW_NUMBER() OVER (PARTITION BY patient ORDER BY sure DESC, "
        "CASE WHEN sure = 1 THEN -start_one ELSE one_maybe END, "
        "CASE WHEN sure = 1 THEN -start_two ELSE start_one END, one, "
        "CASE WHEN sure = 1 THEN 0 ELSE two_maybe END, "
        f"CASE WHEN sure = 1 THEN 0 ELSE start_two END, two) AS n FROM ({pairs}) AS q"
    )
    pair = first.shop.script.add(
        "j",
        f"SELECT patient, sure, why, one + two * {PACK} AS pair, CASE WHEN two < one "
        f"THEN two + one * {PACK} ELSE one + two * {PACK} END AS newest_first, "
        f"GREATEST(last_one, last_two) AS last FROM ({numbered}) AS s WHERE n = 1",
    )
    sides = [_side(silence, table) for silence, table in ((first, one), (second, two))]
    return _paired(first, second, pair, sides)


def _side(silence: Silence, members: str) -> str:
    """Table: what one side of a pair has, per patient."""
    kept = f"CASE WHEN c = 0 THEN 0 WHEN c = {FAILED} THEN 1 ELSE 2 END"
    return silence.shop.script.add(
        "g",
        f"SELECT patient, COUNT(CASE WHEN c <= {_LAST_REASON} THEN 1 END) AS members, "
        f"COUNT(CASE WHEN c = {FAILED} THEN 1 END) AS failed, "
        f"COUNT(CASE WHEN c < {OUT} THEN 1 END) AS inside, {packed('grp = 1')} AS of_failed, "
        f"{newest_of('grp = 1')} AS last_failed, "
        "MAX(CASE WHEN place > 0 THEN start_lo END) AS newest FROM "
        f"(SELECT patient, seq, start_lo, last_start, place, c, {kept} AS grp "
        f"FROM {members}) AS z GROUP BY patient",
    )


def _apart_evidence(first: Silence, one: str, two: str) -> str:
    """Table: the newest three among what both sides have, packed."""
    rows = " UNION ALL ".join(
        f"SELECT patient, seq, last_start FROM {table} WHERE c = 0 OR c = {FAILED}"
        for table in (one, two)
    )
    return first.shop.script.add(
        "g",
        f"SELECT patient, {packed()} AS facts, {newest_of()} AS last FROM ({rows}) AS z "
        "GROUP BY patient",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Alone:
    """One retrieve of a pair: conditions on its own, and what its absence would answer."""

    problem: str
    silent: str
    failed: str
    absent: Answer


def _alone(silence: Silence, side: str) -> _Alone:
    take, pin = silence.block.take, silence.block.pin
    there = take(side, "patient")
    empty = f"({there} IS NOT NULL AND {silence.empty} AND {take(side, 'inside')} = 0)"
    problem = (
        f"CASE WHEN {there} IS NULL THEN {silence.not_whole} WHEN {empty} THEN NULL "
        f"ELSE {silence.problem} END"
    )
    nobody = f"COALESCE({take(side, 'members')}, 0) = 0"
    quiet = f"({nobody} AND COALESCE({take(side, 'failed')}, 0) = 0 AND NOT {empty})"
    return _Alone(
        problem=pin(problem),
        silent=pin(quiet),
        failed=pin(f"({nobody} AND NOT {quiet})"),
        absent=silence.answer(take(side, "newest")),
    )


def _paired(first: Silence, second: Silence, pair: str, sides: list[str]) -> Answer:
    """The stage says which rule answers: pair, problem, doubt, a side that failed or is silent."""
    block = first.block
    take, pin = block.take, block.pin
    both = [_alone(silence, side) for silence, side in zip((first, second), sides, strict=True)]
    failed, silent = [one.failed for one in both], [one.silent for one in both]
    absents = [one.absent for one in both]
    problem = pin(f"COALESCE({both[0].problem}, {both[1].problem})")
    sure, why = take(pair, "sure"), take(pair, "why")
    worse = [
        f"(CASE WHEN {a.truth} = 0 THEN 0 ELSE 2 END + CASE WHEN {a.assumed} THEN 1 ELSE 0 END)"
        for a in absents
    ]
    by_first = pin(f"{silent[0]} AND (NOT {silent[1]} OR {worse[0]} <= {worse[1]})")
    stage = pin(
        f"CASE WHEN {sure} = 1 THEN 0 WHEN {problem} IS NOT NULL THEN 1 WHEN {sure} = 0 THEN 2 "
        f"WHEN {failed[0]} THEN 3 WHEN {failed[1]} THEN 4 WHEN {by_first} THEN 5 "
        f"WHEN {silent[1]} THEN 6 ELSE 7 END"
    )
    truth = pin(
        f"CASE {stage} WHEN 0 THEN 2 WHEN 1 THEN 1 WHEN 2 THEN 1 WHEN 5 THEN {absents[0].truth} "
        f"WHEN 6 THEN {absents[1].truth} ELSE 0 END"
    )
    reason = f"CASE {stage} WHEN 1 THEN {problem} WHEN 2 THEN {why} END"
    opens = [("", bits_of(reason))]
    for number_, absent in ((5, absents[0]), (6, absents[1])):
        opens += [
            (q, f"CASE WHEN {stage} = {number_} THEN {m} ELSE 0 END") for q, m in absent.opens
        ]
    assumed = " OR ".join(
        f"({stage} = {number_} AND {absent.assumed})"
        for number_, absent in ((5, absents[0]), (6, absents[1]))
        if absent.assumed != "FALSE"
    )
    slots = _shown_at(stage, first, second, pair, sides, absents)
    return pinned(
        block,
        Answer(truth=truth, opens=merged(opens), assumed=assumed or "FALSE", evidence=slots),
    )


def _shown_at(
    stage: str, first: Silence, second: Silence, pair: str, sides: list[str], absents: list[Answer]
) -> tuple[Slot, ...]:
    """What each stage shows."""
    block, pin = first.block, first.block.pin
    slots = [
        Slot(table=pair, facts="pair", newest="last", when=pin(f"{stage} = 0")),
        Slot(table=pair, facts="newest_first", newest="last", when=pin(f"{stage} = 2"),
             decides="FALSE"),
    ]  # fmt: skip
    for number_, side in ((3, sides[0]), (4, sides[1])):
        slots.append(
            Slot(table=side, facts="of_failed", newest="last_failed",
                 when=pin(f"{stage} = {number_}"))
        )  # fmt: skip
    for number_, absent in ((5, absents[0]), (6, absents[1])):
        slots += [slot.only(block, f"{stage} = {number_}") for slot in absent.evidence]
    apart = _apart_evidence(
        first, first.rows.members(first.events), second.rows.members(second.events)
    )
    slots.append(
        Slot(table=apart, facts="facts", newest="last", when=pin(f"{stage} = 7"),
             decides="FALSE")
    )  # fmt: skip
    return tuple(slots)
