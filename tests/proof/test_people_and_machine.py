"""People and machine write at once, requests fail, processes die: nothing is lost or doubled.

A state machine draws events; after each one the invariants of ``World.check`` hold, and when the
faults are over those of ``check_settled``; everybody read again then writes nothing.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from proof.events import COUNTED, PeopleAndMachine

pytestmark = pytest.mark.timeout(1800)

_PATIENCE = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)
_STEPS = 50


def run(
    events: int, number: int, machine: type[PeopleAndMachine] = PeopleAndMachine
) -> Counter[str]:
    """About so many events, by machines of fifty each; the same number draws the same ones.

    Half as many again are drawn: some find nothing to do, and do not count.
    """
    drawn = settings(
        max_examples=1 + -(-events * 3 // (2 * _STEPS)),  # the first one has no events
        stateful_step_count=_STEPS,
        deadline=None,
        database=None,
        phases=(Phase.generate,),  # the events as drawn: shrinking hundreds of them takes an hour
        suppress_health_check=_PATIENCE,
    )
    before = COUNTED.copy()
    run_state_machine_as_test(seed(number)(machine), settings=drawn)
    found = COUNTED - before
    assert found["events"] >= events * 2 // 3
    assert found["kills"] > 0, "no process was ever killed: the proof has proved little"
    return found


def told(found: Counter[str]) -> str:
    """The figures of a run, all of which ended as they should."""
    return ", ".join(f"{count:,} {what}" for what, count in sorted(found.items()))


@pytest.mark.slow
def test_nothing_is_lost_doubled_or_overwritten() -> None:
    run(events=150, number=0)


@pytest.mark.deep
@pytest.mark.parametrize("number", [1, 2])
def test_ten_thousand_events(number: int, record_property: Callable[[str, object], None]) -> None:
    """Half of them each, so that two workers share them; PROOF_SEED draws others."""
    drawn = number + int(os.environ.get("PROOF_SEED", "0"))
    half = int(os.environ.get("PROOF_EVENTS", "10000")) // 2
    found = run(events=half, number=drawn)
    assert found["events"] >= half
    record_property("people and machine", f"sandbox, seed {drawn}: {told(found)}")
