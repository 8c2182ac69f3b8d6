"""What killed runs of the doctor left on a server, and what the next run does about it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fhir_adapter.client.transport import Answer, Asked
from fhir_adapter.doctor import Report, examine, token_of
from fhir_adapter.doctor.own import SYSTEM, Own
from fhir_adapter.doctor.specimens import write_specimens
from tests.doctor.doctor_worlds import BASE, Ask, Layer, World, answer, refuses

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
"""The servers of these tests say that it is midnight."""
AN_HOUR = timedelta(hours=1)
OLD = token_of("0123456789ab", until=NOW - 3 * AN_HOUR)
YOUNG = token_of("ba9876543210", until=NOW - AN_HOUR / 2)
UNDATED = "doctor-0123456789ab"


class Subscriptions:
    """A Subscription that stands, found by its tag."""

    def __init__(self, made: dict[str, Any]) -> None:
        meta = {**made["meta"], "lastUpdated": "2026-11-22T00:00:09Z"}
        self.standing = {"s": {**made, "id": "s", "meta": meta}}

    def __call__(self, one: Asked, ask: Ask) -> Answer:
        path, _, _ = one.url.removeprefix(f"{BASE}/").partition("?")
        kind, _, number = path.partition("/")
        if kind != "Subscription" or one.method == "POST":
            return ask(one)
        if one.method == "DELETE":
            self.standing.pop(number, None)
            return answer(204)
        if number:
            return answer(200 if number in self.standing else 410, self.standing.get(number))
        entries = [{"resource": made} for made in self.standing.values()]
        return answer(200, {"resourceType": "Bundle", "type": "searchset", "entry": entries})


def killed(world: World, token: str) -> Subscriptions:
    """A run that was killed once its specimens stood there."""
    exam = world.exam()
    exam.own = Own(probe=exam.probe, token=token)
    write_specimens(exam)
    made = exam.own.marked("Subscription", {"reason": "fhir-adapter doctor"})
    standing = Subscriptions(made)
    world.layers.append(standing)
    return standing


def run(world: World, *, now: datetime = NOW) -> Report:
    token = token_of("ffffffffffff", until=NOW + AN_HOUR)
    return examine(
        world,  # type: ignore[arg-type] # what the doctor uses of a client
        token=token,
        write=True,
        now=now,
        sleep=lambda _: None,
        most_requests=400,
    )


@pytest.mark.parametrize("token", [OLD, UNDATED])
def test_what_a_killed_run_left_is_named_and_removed(token: str) -> None:
    world = World()
    subscriptions = killed(world, token)
    left = {"Subscription", *world.standing()}
    count = sum(world.standing().values())
    report = run(world)
    assert (world.standing(), subscriptions.standing) == ({}, {})
    assert len(report.earlier.removed) == count + 1
    assert {one.partition("/")[0] for one in report.earlier.removed} == left
    assert (report.earlier.left, report.earlier.spared) == ((), ())


def test_a_run_that_may_be_going_on_is_not_robbed() -> None:
    world = World()
    subscriptions = killed(world, YOUNG)
    before = world.standing()
    report = run(world)
    assert world.standing() == before
    assert subscriptions.standing
    assert len(report.earlier.spared) == sum(before.values()) + 1
    assert report.earlier.removed == ()


@pytest.mark.parametrize("token", [OLD, UNDATED])
def test_what_was_written_within_the_hour_spares_its_whole_run(token: str) -> None:
    world = World()
    killed(world, token)
    before = world.standing()
    report = run(world, now=datetime(2026, 11, 22, 0, 30, tzinfo=UTC))
    assert world.standing() == before
    assert report.earlier.removed == ()


def _device(**more: Any) -> dict[str, Any]:
    return {"resourceType": "Device", "status": "active", **more}


ITS = {"system": SYSTEM, "value": f"{OLD}-1"}
NOT_OURS = {
    "another system": _device(identifier=[{"system": "https://ehr.example", "value": f"{OLD}-1"}]),
    "no identifier": _device(),
    "a second identifier": _device(
        identifier=[ITS, {"system": "https://ehr.example", "value": "7"}]
    ),
    "another value": _device(identifier=[{"system": SYSTEM, "value": "doctor-something-1"}]),
    "a person's Provenance": {
        "resourceType": "Provenance", "policy": ["https://ehr.example/policy"],
        "meta": {"tag": [{"system": "https://ehr.example", "code": OLD}]},
    },
}  # fmt: skip


def unfiltered(one: Asked, ask: Ask) -> Answer:
    """The parameter is dropped, and everything of the type comes."""
    if one.method != "GET" or not any(name in one.url for name in ("identifier=", "_tag=")):
        return ask(one)
    kind = one.url.removeprefix(f"{BASE}/").partition("?")[0]
    return ask(Asked(method="GET", url=f"{BASE}/{kind}", where=BASE, headers=one.headers))


@pytest.mark.parametrize("name", NOT_OURS)
@pytest.mark.parametrize("layers", [(), (unfiltered,)])
def test_what_is_not_certainly_the_doctors_stays(name: str, layers: tuple[Layer, ...]) -> None:
    world = World(*layers)
    world.server.store.load({**NOT_OURS[name], "id": "theirs"})
    report = run(world)
    assert world.standing() == {NOT_OURS[name]["resourceType"]: 1}
    assert report.earlier.removed == report.earlier.spared == ()


def test_what_cannot_be_removed_is_told() -> None:
    world = World()
    killed(world, OLD)
    held = next(one["id"] for one in world.server.store.all_of("Library"))
    world.layers.append(refuses(403, method="DELETE", path=f"Library/{held}"))
    report = run(world)
    assert report.earlier.left == (f"Library/{held}",)
    assert world.standing() == {"Library": 1}


def test_pages_of_leftovers_are_followed() -> None:
    world = World(max_page=3)
    killed(world, OLD)
    for number in range(2, 12):
        world.server.store.load(
            _device(id=f"d{number}", identifier=[{"system": SYSTEM, "value": f"{OLD}-9{number}"}])
        )
    run(world)
    assert world.standing() == {}


def test_a_server_that_refuses_to_look_for_them_is_examined_all_the_same() -> None:
    def refused(one: Asked, ask: Ask) -> Answer:
        by_system = one.url.endswith("%7C") or "|&" in one.url or "_tag=" in one.url
        return answer(400) if by_system else ask(one)

    report = run(World(refused))
    assert {one.id: one.verdict.value for one in report.findings}["write.create"] == "works"
    assert report.earlier.removed == ()
