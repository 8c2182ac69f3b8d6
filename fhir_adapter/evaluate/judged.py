"""What one node of a tree answers, and the Kleene combination of such answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec

from fhir_adapter.evaluate.case import Case
from fhir_adapter.model import truth as kleene
from fhir_adapter.model.fact import Fact
from fhir_adapter.model.result import Evidence, Open
from fhir_adapter.model.truth import Reason, Truth

SHOWN = 3
"""Facts shown per deciding leaf."""


class Judged(msgspec.Struct, frozen=True, gc=False):
    """One node's answer for one case."""

    truth: Truth
    evidence: tuple[Evidence, ...] = ()
    opens: tuple[Open, ...] = ()
    """Leaves that keep it unknown; empty when it is decided."""
    assumed: bool = False
    """It would be unknown without an absence policy."""
    until: int | None = None
    """TRUE by a window that hangs on as_of: the last local date on which it still is."""
    left_out: int = 0
    """Deciding facts beyond those shown."""


Closure = Callable[[Case], Judged]

TRUE = Judged(Truth.TRUE)
FALSE = Judged(Truth.FALSE)


def unknown(reason: Reason, *evidence: Evidence) -> Judged:
    """UNKNOWN for one reason, with what there is to show."""
    return Judged(Truth.UNKNOWN, evidence=evidence, opens=(Open(reason),))


def shown(facts: Sequence[Fact], why: str = "") -> tuple[Evidence, ...]:
    """At most three facts, newest first; the order is for display and never decides."""
    if len(facts) == 1:
        return (Evidence(facts[0], why),)
    ordered = sorted(facts, key=lambda fact: (-fact.start_lo, fact.source))
    return tuple(Evidence(fact, why) for fact in ordered[:SHOWN])


def once(evidence: Iterable[Evidence]) -> tuple[Evidence, ...]:
    """Each fact once per why, in the order of the tree."""
    # a fact is one object of its record: its identity is cheaper to look up than its fields
    return tuple({(id(item.fact), item.why): item for item in evidence}.values())


def decided(truth: Truth, facts: Sequence[Fact], why: str = "") -> Judged:
    """A decided answer with its deciding facts."""
    return Judged(truth, evidence=shown(facts, why), left_out=max(0, len(facts) - SHOWN))


def first_reason(opens: Sequence[Open]) -> Reason:
    """The first reason, in the order of the table, among leaves that keep something unknown."""
    return min(item.reason for item in opens)


def all_of(parts: Sequence[Judged]) -> Judged:
    """Conjunction: every child is judged, so that no short circuit changes reason or evidence."""
    return _combined(kleene.all_of(part.truth for part in parts), parts, decisive=Truth.FALSE)


def any_of(parts: Sequence[Judged]) -> Judged:
    """Disjunction, likewise."""
    return _combined(kleene.any_of(part.truth for part in parts), parts, decisive=Truth.TRUE)


def at_least(n: int, parts: Sequence[Judged]) -> Judged:
    """At least n of the children."""
    truth = kleene.at_least(n, (part.truth for part in parts))
    keep = [part for part in parts if part.truth is truth]
    firm = sum(1 for part in keep if not part.assumed)
    needed = n if truth is Truth.TRUE else len(parts) - n + 1
    assumed = truth is not Truth.UNKNOWN and firm < needed
    return _merged(truth, keep, assumed=assumed)


def negated(part: Judged) -> Judged:
    """Negation keeps evidence and reasons; a date after which TRUE ends says nothing of FALSE."""
    return msgspec.structs.replace(part, truth=kleene.not_(part.truth), until=None)


def _combined(truth: Truth, parts: Sequence[Judged], *, decisive: Truth) -> Judged:
    keep = [part for part in parts if part.truth is truth]
    if truth is Truth.UNKNOWN:
        return _merged(truth, keep, assumed=False)
    rests = all if truth is decisive else any
    return _merged(truth, keep, assumed=rests([part.assumed for part in keep]))


def _merged(truth: Truth, keep: Sequence[Judged], *, assumed: bool) -> Judged:
    if len(keep) == 1 and keep[0].assumed is assumed and truth is not Truth.FALSE:
        return keep[0]
    opens = tuple(dict.fromkeys(item for part in keep for item in part.opens))
    ends = [part.until for part in keep]
    return Judged(
        truth,
        evidence=once(item for part in keep for item in part.evidence),
        opens=opens,
        assumed=assumed,
        until=_last_end(ends) if truth is Truth.TRUE else None,
        left_out=sum(part.left_out for part in keep),
    )


def _last_end(ends: Sequence[int | None]) -> int | None:
    known = [end for end in ends if end is not None]
    return max(known) if known and len(known) == len(ends) else None
