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
_PART = 500
"""Events drawn at once, or a few more; drawing again ends when enough have done something."""


def run(
    events: int, number: int, machine: type[PeopleAndMachine] = PeopleAndMachine
) -> Counter[str]:
    """As many events at the least; the same number draws the same ones.

    Fails where few patients had an answer that could be stated: it would have proved little.
    """
    before, part = COUNTED.copy(), 0
    while (missing := events - (COUNTED - before)["events"]) > 0:
        _draw(min(missing, _PART), number * 1000 + part, machine)
        part += 1
    found = COUNTED - before
    checked, others = found["patients checked"], found["patients not checked"]
    assert checked >= max(others, events // 20), f"only {checked} patients were checked"
    assert found["kills"] > 0, "no process was ever killed: the proof has proved little"
    return found


def _draw(events: int, number: int, machine: type[PeopleAndMachine]) -> None:
    """By machines of fifty events each."""
    drawn = settings(
        max_examples=2 + events // _STEPS,  # the first one has no events
        stateful_step_count=_STEPS,
        deadline=None,
        database=None,
        phases=(Phase.generate,),  # the events as drawn: shrinking hundreds of them takes an hour
        suppress_health_check=_PATIENCE,
    )
    run_state_machine_as_test(seed(number)(machine), settings=drawn)


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
    record_property("people and machine", f"sandbox, seed {drawn}: {told(found)}")
