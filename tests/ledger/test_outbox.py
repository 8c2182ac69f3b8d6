"""The outbox: with its decision or not at all, in order per key, by one worker at a time."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal

import pytest

from fhir_adapter.errors import SettingInvalid
from fhir_adapter.ledger import Ledger, Outgoing
from fhir_adapter.ledger.outbox import decoded, encoded
from fhir_adapter.model.decision import Decision, Outcome
from fhir_adapter.ports import Proposal
from tests.ledger.conftest import Place, StandingClock
from tests.writeback.proposals import propose


def proposal(key: str = "k", fingerprint: str = "f1", patient: str = "p") -> Proposal:
    return replace(propose(fingerprint), key=key, patient=patient)


def add(ledger: Ledger, made: Proposal, *, run: str = "r") -> bool:
    decision = Decision(
        patient=made.patient, study="s", study_version="1", as_of=1, outcome=Outcome.CANDIDATE
    )
    return ledger.record_decision(decision, run=run, listed=True, proposal=made)


def take(ledger: Ledger, worker: str = "w", **more: object) -> list[Outgoing]:
    return list(ledger.outbox.take(worker, limit=100, **more))  # type: ignore[arg-type] # what each test gives


def test_a_proposal_comes_back_digit_for_digit(ledger: Ledger) -> None:
    made = proposal()
    assert made.opinion is not None
    made = replace(made, opinion={**made.opinion, "x": Decimal("1.50"), "n": [1, None, True]})
    add(ledger, made)
    (taken,) = take(ledger)
    assert taken.proposal == made
    assert str((taken.proposal.opinion or {})["x"]) == "1.50"
    assert encoded(decoded(encoded(made))) == encoded(made)


def test_a_proposal_stands_with_its_decision_or_not_at_all(ledger: Ledger, place: Place) -> None:
    place.execute("ALTER TABLE outbox RENAME TO elsewhere")
    with pytest.raises(SettingInvalid):
        add(ledger, proposal())
    assert ledger.status().decisions == 0


def test_a_repeat_of_the_run_adds_no_second_row(ledger: Ledger) -> None:
    assert add(ledger, proposal())
    assert not add(ledger, proposal())
    assert ledger.outbox.counts().waiting == 1


def test_what_was_taken_is_nobody_elses_until_the_lease_is_over(
    ledger: Ledger, clock: StandingClock
) -> None:
    add(ledger, proposal())
    assert len(take(ledger, "a", lease_seconds=60)) == 1
    assert take(ledger, "b") == []
    clock.wait(seconds=61)
    assert len(take(ledger, "b")) == 1


def test_done_is_said_once_and_leaves_no_resource_behind(ledger: Ledger, place: Place) -> None:
    add(ledger, proposal())
    (taken,) = take(ledger)
    assert ledger.outbox.done(taken)
    assert not ledger.outbox.done(taken)
    assert take(ledger) == []
    assert place.execute("SELECT count(*) FROM outbox WHERE body IS NOT NULL")[0][0] == 0
    counts = ledger.outbox.counts()
    assert (counts.waiting, counts.done, counts.oldest) == (0, 1, None)


def test_a_newer_proposal_takes_the_place_of_one_that_nobody_has_taken(ledger: Ledger) -> None:
    add(ledger, proposal(fingerprint="f1"), run="r1")
    add(ledger, proposal(fingerprint="f2"), run="r2")
    add(ledger, proposal(key="other"), run="r3")
    assert [one.proposal.fingerprint for one in take(ledger)] == ["f2", "f1"]
    counts = ledger.outbox.counts()
    assert (counts.waiting, counts.superseded) == (2, 1)


def test_a_newer_proposal_waits_for_the_one_that_is_on_its_way(ledger: Ledger) -> None:
    add(ledger, proposal(fingerprint="f1"), run="r1")
    (first,) = take(ledger, "a")
    add(ledger, proposal(fingerprint="f2"), run="r2")
    assert take(ledger, "b") == []
    ledger.outbox.done(first)
    assert [one.proposal.fingerprint for one in take(ledger, "b")] == ["f2"]


def test_a_failure_is_kept_with_its_code_and_tried_later(
    ledger: Ledger, clock: StandingClock
) -> None:
    add(ledger, proposal())
    (taken,) = take(ledger)
    assert ledger.outbox.failed(taken, "server-unreachable")
    assert take(ledger) == []
    assert ledger.outbox.counts().failing == 1
    assert len(take(ledger, at_once=True)) == 1
    clock.wait(seconds=601)
    (again,) = take(ledger, lease_seconds=1)
    assert again.attempts == 1
    clock.wait(seconds=2)
    (other,) = take(ledger, "x")
    assert not ledger.outbox.failed(again, "late"), "another worker has it now"
    assert ledger.outbox.done(other)


def test_one_study_or_one_key_can_be_asked_for(ledger: Ledger) -> None:
    add(ledger, proposal("a"), run="1")
    add(ledger, replace(proposal("b"), study="t"), run="2")
    assert [one.proposal.key for one in take(ledger, study="t")] == ["b"]
    assert [one.proposal.key for one in take(ledger, key="a")] == ["a"]
    assert take(ledger, key="nobody's") == []


@pytest.mark.untraced
def test_four_workers_take_each_proposal_once_and_each_key_in_order(ledger: Ledger) -> None:
    for number in range(120):
        add(ledger, proposal(f"k{number % 40}", f"f{number}", f"p{number}"), run=f"r{number}")

    def work(worker: str) -> list[Outgoing]:
        mine: list[Outgoing] = []
        while found := ledger.outbox.take(worker, limit=3):
            for one in found:
                assert ledger.outbox.done(one)
            mine += found
        return mine

    with ThreadPoolExecutor(4) as pool:
        seen = Counter(one.id for part in pool.map(work, "abcd") for one in part)
    assert (len(seen), set(seen.values())) == (40, {1})
    assert ledger.outbox.counts().superseded == 80
