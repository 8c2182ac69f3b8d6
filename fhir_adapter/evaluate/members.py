"""Nodes ``any`` and ``count-at-least``: how many facts of a retrieve pass its tests."""

from __future__ import annotations

from collections.abc import Callable

from fhir_adapter.evaluate.case import Case
from fhir_adapter.evaluate.judged import FALSE, Judged, shown, unknown
from fhir_adapter.evaluate.retrieve import Members, Retrieve
from fhir_adapter.evaluate.windows import last_inside
from fhir_adapter.model.truth import Truth


def any_member(retrieve: Retrieve) -> Callable[[Case], Judged]:
    """Node ``any``."""

    def judge(case: Case) -> Judged:
        silent = retrieve.silent(case)
        if silent is not None:
            return silent
        members = retrieve.members(case)
        if members.sure:
            return _true(retrieve, case, members)
        return _without_sure(retrieve, case, members)

    return judge


def count_at_least(retrieve: Retrieve, n: int) -> Callable[[Case], Judged]:
    """Node ``count-at-least``."""

    def judge(case: Case) -> Judged:
        members = retrieve.members(case)
        if len(members.sure) >= n:
            return _true(retrieve, case, members)
        reachable = len(members.sure) + len(members.maybe) >= n
        if members.sure and members.problem is None and not reachable:
            return Judged(Truth.FALSE, evidence=shown(members.sure))
        if members.sure and members.problem is None:
            return _maybe(members)
        return _without_sure(retrieve, case, members, reachable=reachable)

    return judge


def _true(retrieve: Retrieve, case: Case, members: Members) -> Judged:
    remark = next((text for text in members.remarks if text), "")
    evidence = shown(members.sure, remark)
    ends = [last_inside(retrieve.window, fact, case) for fact in members.sure]
    known = [end for end in ends if end is not None]
    until = max(known) if known and len(known) == len(ends) else None
    return Judged(Truth.TRUE, evidence, until=until, left_out=len(members.sure) - len(evidence))


def _without_sure(
    retrieve: Retrieve, case: Case, members: Members, *, reachable: bool = True
) -> Judged:
    if members.empty_window:
        return FALSE
    if members.problem is not None:
        return unknown(members.problem)
    if members.maybe and reachable:
        return _maybe(members)
    if members.failed:
        return Judged(Truth.FALSE, evidence=shown(members.failed, "not matching"))
    return retrieve.absent(case)


def _maybe(members: Members) -> Judged:
    reason = min(reason for _, reason in members.maybe)
    facts = [fact for fact, why in members.maybe if why is reason]
    return unknown(reason, *shown(facts, reason.code))
