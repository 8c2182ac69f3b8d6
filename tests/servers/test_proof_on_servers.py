"""The proof of people and machine writing at once, on servers of others.

The sandbox's state machine and invariants (`tests/proof`), behind the same faults and kills.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from proof.elsewhere import at
from proof.events import PeopleAndMachine
from proof.test_people_and_machine import run, told

pytestmark = [pytest.mark.servers, pytest.mark.timeout(1800)]
EVENTS = int(os.environ.get("PROOF_EVENTS", "300"))
"""On each server."""


@pytest.mark.parametrize("server", ["hapi_all_on", "medplum"])
def test_nothing_is_lost_doubled_or_overwritten_there(
    request: pytest.FixtureRequest,
    server: str,
    record_property: Callable[[str, object], None],
) -> None:
    class There(PeopleAndMachine):
        reach = staticmethod(at(request.getfixturevalue(server)))

    found = run(events=EVENTS, number=0, machine=There)
    record_property("people and machine", f"{server}: {told(found)}")
