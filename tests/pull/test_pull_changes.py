"""Polls, census and notifications: who may have changed, told once, and what was not whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from fhir_adapter.client import FhirClient
from fhir_adapter.errors import ServerBroken, ServerFault, ServerRefused
from fhir_adapter.fhir.notification import Told, read_notification
from fhir_adapter.pull.changes import Census, feeds_of, in_the_house, of_group, pollable
from fhir_adapter.pull.notified import Notified
from fhir_adapter.pull.polling import Poll, PollState, concerned

from cli.cli_for_tests import sandbox
from plain_server import plain_server

TYPES = ("Observation", "Condition")


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def client() -> Iterator[FhirClient]:
    with sandbox(patients=("09-no-pregnancy-test",)) as server:
        yield FhirClient(server.base_url, sleep=lambda _: None)


def observation(patient: str, **more: Any) -> dict[str, Any]:
    subject = {"reference": f"Patient/{patient}"}
    code = {"coding": [{"system": "http://loinc.org", "code": "1975-2"}]}
    plain = {"resourceType": "Observation", "status": "final", "code": code, "subject": subject}
    return {**plain, **more}


# -- polls ---------------------------------------------------------------------------------------


def test_a_poll_tells_of_each_change_once(client: FhirClient) -> None:
    poll = Poll(client, "Observation", now=lambda: now() + timedelta(hours=20))  # a clock ahead
    first = poll.look("")
    assert (first.patients, first.why_not) == (("09-no-pregnancy-test",), "")
    client.create(observation("somebody"))
    second = poll.look(first.cursor)
    assert second.patients == ("somebody",)
    assert "somebody" not in second.cursor
    third = poll.look(second.cursor)
    assert third.patients == (), "within the overlap, and told already"
    client.create(observation("somebody-else"))
    assert poll.look(third.cursor).patients == ("somebody-else",)


def test_a_poll_that_lost_a_page_begins_where_it_began(
    client: FhirClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    poll = Poll(client, "Observation", now=now, page_size=1)
    before = PollState(newest="2000-01-01T00:00:00+00:00").cursor()
    whole = client._transport.ask
    asked: list[str] = []

    def losing(one: Any) -> Any:
        asked.append(one.url)
        if len(asked) == 3:
            raise ServerFault("gone")
        return whole(one)

    monkeypatch.setattr(client._transport, "ask", losing)
    look = poll.look(before)
    assert look.why_not
    kept = PollState.read(look.cursor)
    assert kept.newest == "2000-01-01T00:00:00+00:00"
    assert kept.reached == "1999-12-31T23:55:00.000+00:00"
    assert look.patients == ("09-no-pregnancy-test",), "what was seen is marked all the same"


def test_a_cursor_that_cannot_be_read_is_a_first_look() -> None:
    for broken in ("", "{", "[]", '{"newest": 5, "seen": 7}'):
        assert PollState.read(broken) == PollState()


_SET_BY = "https://fhir-adapter.example/fhir/StructureDefinition/status-set-by"
OURS = {
    "resourceType": "ResearchSubject",
    "status": "candidate",
    "_status": {"extension": [{"url": _SET_BY, "valueCode": "machine"}]},
    "study": {"reference": "ResearchStudy/1"},
    "individual": {"reference": "Patient/proposed"},
}


def test_our_own_writing_is_no_change(client: FhirClient) -> None:
    poll = Poll(client, "ResearchSubject", now=now)
    cursor = poll.look("").cursor
    made = client.create(OURS)
    seen = poll.look(cursor)
    assert seen.patients == ()
    client.update({**OURS, "id": made.id, "status": "screening"})
    assert poll.look(seen.cursor).patients == ("proposed",), "a person has moved it on"


def test_a_merge_concerns_both() -> None:
    link = {"type": "replaced-by", "other": {"reference": "Patient/new"}}
    assert concerned({"resourceType": "Patient", "id": "old", "link": [link]}) == ("old", "new")


@pytest.mark.parametrize(
    ("habits", "why_not"),
    [
        ({}, {}),
        ({"no_last_updated": True}, dict.fromkeys(TYPES, "not-supported")),
        ({"needs_patient": True}, dict.fromkeys(TYPES, "not-supported")),
        ({"forbids_types": frozenset({"Condition"})}, {"Condition": "forbidden"}),
        (
            {"no_last_updated": True, "empty_for_unknown_parameter": True},
            dict.fromkeys(TYPES, "parameter-emptied"),
        ),
    ],
)
def test_what_cannot_be_polled_is_found_out(
    habits: dict[str, Any], why_not: dict[str, str]
) -> None:
    with sandbox(patients=("09-no-pregnancy-test",), **habits) as server:
        able = pollable(FhirClient(server.base_url, sleep=lambda _: None), TYPES)
    assert dict(able.why_not) == why_not
    assert set(able.types) == set(TYPES) - set(why_not)


def test_a_parameter_that_is_ignored_finds_the_future(
    client: FhirClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = client._transport.ask

    def deaf(one: Any) -> Any:
        url = one.url.split("_lastUpdated")[0] + "_count=1"
        return whole(type(one)(method="GET", url=url, where=one.where))

    monkeypatch.setattr(client._transport, "ask", deaf)
    assert dict(pollable(client, ["Observation"]).why_not) == {"Observation": "parameter-ignored"}


def test_a_server_that_was_shut_at_the_start_is_polled_once_it_opens() -> None:
    one = {"resource": {**observation("somebody"), "id": "1"}}
    nobody = {"resourceType": "Bundle", "type": "searchset", "total": 0}
    with plain_server(401) as server:
        client = FhirClient(server.base_url, sleep=lambda _: None)
        feeds, able = feeds_of(client, ["Observation"], now=now, overlap=timedelta(minutes=5))
        (feed,) = feeds
        assert (able.types, dict(able.not_reached)) == ((), {"Observation": "unauthorized"})
        assert able.remedies
        with pytest.raises(ServerRefused):
            feed.look("")
        server.status, server.body = 200, json.dumps({**nobody, "entry": [one]}).encode()
        assert feed.look("").why_not == "parameter-ignored", "the far future is no poll"
        server.body = json.dumps(nobody).encode()
        assert (feed.name, feed.look("").why_not) == ("poll:Observation", "")
        server.body = json.dumps({**nobody, "total": 1, "entry": [one]}).encode()
        assert feed.look("").patients == ("somebody",), "it is proved once"


def test_a_refusal_says_enough_where_the_search_is_not_supported() -> None:
    with sandbox(patients=("09-no-pregnancy-test",), no_last_updated=True) as server:
        able = pollable(FhirClient(server.base_url, sleep=lambda _: None), TYPES)
    assert able.remedies == ()


# -- census --------------------------------------------------------------------------------------


def test_a_census_comes_round_when_its_time_has_come() -> None:
    times = [now()]
    census = Census(lambda: ["a", "b", "a"], now=lambda: times[-1], every=timedelta(hours=1))
    first = census.look("")
    assert first.patients == ("a", "b")
    times.append(times[0] + timedelta(minutes=59))
    assert census.look(first.cursor).patients == ()
    times.append(times[0] + timedelta(minutes=60))
    assert census.look(first.cursor).patients == ("a", "b")


@pytest.mark.parametrize(
    ("moments", "swept"),
    [
        (("2026-11-22T12:00", "2026-11-23T02:29", "2026-11-23T02:30"), "yes no yes"),
        (("2026-11-22T02:31", "2026-11-22T23:00", "2026-11-24T01:00"), "yes no yes"),
        (
            ("2026-10-25T02:45", "2026-10-26T02:15", "2026-10-26T02:45"),
            "yes no yes",
        ),  # winter comes
        (
            ("2026-03-28T12:00", "2026-03-29T03:31", "2026-03-30T02:45"),
            "yes yes yes",
        ),  # summer comes
    ],
)
def test_a_nightly_sweep_is_due_once_after_its_hour(moments: tuple[str, ...], swept: str) -> None:
    """At the first look too; a night in which nobody looked is made up for."""
    zone = ZoneInfo("Europe/Berlin")
    times = list[datetime]()
    sweep = Census(
        lambda: ["a"], now=lambda: times[-1], every=timedelta(hours=24), at=time(2, 30, tzinfo=zone)
    )
    cursor, told = "", list[str]()
    for moment in moments:
        times.append(datetime.fromisoformat(moment).replace(tzinfo=zone).astimezone(UTC))
        look = sweep.look(cursor)
        cursor = look.cursor
        told.append("yes" if look.patients else "no")
    assert " ".join(told) == swept


def test_the_census_finds_who_is_in_the_house(client: FhirClient) -> None:
    for status, patient in (("in-progress", "here"), ("planned", "soon"), ("finished", "gone")):
        subject = {"reference": f"Patient/{patient}"}
        kind = {"code": "IMP"}
        client.create(
            {"resourceType": "Encounter", "status": status, "class": kind, "subject": subject}
        )
    found = set(in_the_house(client))
    assert {"here", "soon"} <= found
    assert "gone" not in found


def test_a_group_is_a_census_without_its_inactive_members() -> None:
    members = [
        {"entity": {"reference": "Patient/1"}},
        {"entity": {"reference": "Patient/2"}, "inactive": True},
        {"entity": {"reference": "Device/3"}},
    ]
    reader = _Fake({"Group/g": {"resourceType": "Group", "id": "g", "member": members}})
    assert list(of_group(reader, "g")) == ["1"]  # type: ignore[arg-type] # stands for the real one
    with pytest.raises(ServerFault, match="not whole"):
        list(of_group(reader, "other"))  # type: ignore[arg-type] # stands for the real one


# -- notifications -------------------------------------------------------------------------------


def r4_status(
    *events: tuple[int, str], told: str = "event-notification", last: int = 0
) -> dict[str, Any]:
    """As the R5 backport 1.1.0 writes it for R4."""
    said: list[dict[str, Any]] = [
        {
            "name": "subscription",
            "valueReference": {"reference": "http://a.example/Subscription/s"},
        },
        {"name": "type", "valueCode": told},
        {"name": "events-since-subscription-start", "valueString": str(last)},
    ]
    for number, focus in events:
        part = [
            {"name": "event-number", "valueString": str(number)},
            {"name": "focus", "valueReference": {"reference": focus}},
        ]
        said.append({"name": "notification-event", "part": part})
    return {"resourceType": "Parameters", "parameter": said}


def bundle(*resources: dict[str, Any]) -> dict[str, Any]:
    entries = [{"resource": one} for one in resources]
    return {"resourceType": "Bundle", "type": "history", "entry": entries}


def test_both_forms_of_a_topic_s_message_say_the_same() -> None:
    r4 = read_notification(bundle(r4_status((7, "Observation/o/_history/3"), last=7)))
    event = {"eventNumber": "7", "focus": {"reference": "http://a.example/Observation/o"}}
    r5 = read_notification(
        bundle(
            {
                "resourceType": "SubscriptionStatus",
                "type": "event-notification",
                "eventsSinceSubscriptionStart": 7,
                "subscription": {"reference": "Subscription/s"},
                "notificationEvent": [event],
            }
        )
    )
    assert r4 == r5
    assert (r4.told, r4.subscription, r4.first, r4.last) == (Told.EVENTS, "s", 7, 7)
    assert r4.focus == ("Observation/o",)


@pytest.mark.parametrize("told", ["handshake", "heartbeat"])
def test_handshake_and_heartbeat_name_nobody(told: str) -> None:
    found = read_notification(bundle(r4_status(told=told, last=0)))
    assert (found.told.value, found.focus, found.resources) == (told, (), ())


@pytest.mark.parametrize(
    "body",
    [None, {}, {"resourceType": "Bundle"}, bundle(), {"entry": 5}, bundle({"parameter": "x"})],
)
def test_what_cannot_be_understood_is_a_plain_message(body: Any) -> None:
    assert read_notification(body).told is Told.PLAIN


class _Fake:
    """A server that reads what it was given, and answers $events."""

    def __init__(
        self, kept: dict[str, dict[str, Any]], events: Callable[[int, int], Any] | None = None
    ) -> None:
        self.kept = kept
        self.events = events
        self.asked: list[tuple[int, int]] = []

    def read(self, kind: str, number: str) -> dict[str, Any] | None:
        return self.kept.get(f"{kind}/{number}")

    def capability(self) -> None:
        """It is there."""

    def in_r4(self, resource: dict[str, Any]) -> dict[str, Any]:
        if resource.get("id") == "untold":
            raise ServerBroken("not in R4")
        return resource

    def subscription_events(self, _: str, first: int, last: int) -> Any:
        self.asked.append((first, last))
        if self.events is None:
            raise ServerFault("no such operation")
        return self.events(first, last)


class _Cursors(dict[str, str]):
    def cursor(self, name: str) -> str:
        return self.get(name, "")

    def keep_cursor(self, name: str, value: str) -> None:
        self[name] = value


def test_the_payload_of_a_plain_message_names_its_patient() -> None:
    notified = Notified(_Fake({}), _Cursors())  # type: ignore[arg-type] # stands for the real one
    assert notified.take(read_notification(observation("p"))).patients == ("p",)
    empty = notified.take(read_notification(None))
    assert (empty.patients, empty.why_not) == ((), "nobody-named")


def test_a_payload_that_cannot_be_told_in_r4_is_said() -> None:
    notified = Notified(_Fake({}), _Cursors())  # type: ignore[arg-type] # stands for the real one
    found = notified.take(read_notification({**observation("p"), "id": "untold"}))
    assert (found.patients, found.why_not) == ((), "server-broken")


def test_a_focus_is_read_for_its_patient() -> None:
    fake = _Fake({"Observation/o": observation("p")})
    notified = Notified(fake, _Cursors())  # type: ignore[arg-type] # stands for the real one
    message = bundle(
        r4_status((1, "Observation/o"), (2, "Patient/q"), (3, "Observation/x"), last=3)
    )
    assert notified.take(read_notification(message)).patients == ("p", "q")


@pytest.mark.parametrize(("status", "told"), [("candidate", ()), ("screening", ("proposed",))])
def test_our_own_writing_wakes_nobody_by_payload_or_by_focus(
    status: str, told: tuple[str, ...]
) -> None:
    subject = {**OURS, "id": "s", "status": status}
    notified = Notified(_Fake({"ResearchSubject/s": subject}), _Cursors())  # type: ignore[arg-type] # stands for the real one
    by_payload = notified.take(read_notification(subject))
    message = bundle(r4_status((1, "ResearchSubject/s"), last=1))
    by_focus = notified.take(read_notification(message))
    assert (by_payload.patients, by_payload.why_not) == (told, "")
    assert (by_focus.patients, by_focus.why_not) == (told, "")


def test_lost_events_are_asked_for_once_more() -> None:
    def again(first: int, last: int) -> Any:
        return bundle(r4_status(*((n, f"Patient/{n}") for n in range(first, last + 1)), last=9))

    fake, cursors = _Fake({}, again), _Cursors()
    notified = Notified(fake, cursors)  # type: ignore[arg-type] # stands for the real one
    notified.take(read_notification(bundle(r4_status((4, "Patient/4"), last=4))))
    found = notified.take(read_notification(bundle(r4_status((7, "Patient/7"), last=7))))
    assert (found.patients, found.why_not) == (("7", "5", "6"), "")
    beat = notified.take(read_notification(bundle(r4_status(told="heartbeat", last=9))))
    assert beat.patients == ("8", "9"), "a heartbeat tells of lost messages too"
    assert fake.asked == [(5, 6), (8, 9)]
    assert json.dumps(cursors) == '{"events:s": "9"}'


def test_events_that_cannot_be_had_again_are_said() -> None:
    notified = Notified(_Fake({}), _Cursors({"events:s": "1"}))  # type: ignore[arg-type] # stands for the real one
    assert notified.take(read_notification(bundle(r4_status((5, "Patient/5"), last=5)))).why_not
    short = _Fake({}, lambda _first, _last: bundle(r4_status((3, "Patient/3"), last=5)))
    notified = Notified(short, _Cursors({"events:s": "1"}))  # type: ignore[arg-type] # stands for the real one
    found = notified.take(read_notification(bundle(r4_status((5, "Patient/5"), last=5))))
    assert (found.patients, found.why_not) == (("5", "3"), "events-lost")
