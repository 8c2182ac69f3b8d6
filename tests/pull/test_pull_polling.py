"""Where a poll stands: by the server's clock, with an overlap, and from where a look broke off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fhir_adapter.client import FhirClient
from fhir_adapter.errors import ServerFault
from fhir_adapter.pull.polling import Poll, PollState, instant_of
from fhir_adapter.sandbox import Habits, Interactions, RunningSandbox

import fault_proxy as f

NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(hours=3)
NAMES = [f"p{n:02}" for n in range(60)]


@dataclass
class Ground:
    """A server behind a proxy that can spoil its answers."""

    server: Interactions
    proxy: f.FaultProxy
    client: FhirClient
    cursor: str = ""
    told: set[str] = field(default_factory=set)

    def put(self, name: str, at: datetime) -> None:
        meta = {"lastUpdated": at.isoformat(), "versionId": str(at.timestamp())}
        self.server.store.load({"resourceType": "Patient", "id": name, "meta": meta})

    def poll(self, **more: Any) -> Poll:
        return Poll(self.client, "Patient", **{"now": lambda: NOW, "page_size": 10, **more})

    def look(self, poll: Poll) -> tuple[set[str], str]:
        """Whom it told of, and why it was not whole."""
        found = poll.look(self.cursor)
        self.cursor = found.cursor
        self.told |= set(found.patients)
        return set(found.patients), found.why_not


@contextmanager
def ground() -> Iterator[Ground]:
    server = Interactions(now=NOW.isoformat, habits=Habits(max_page=10))
    with RunningSandbox(server) as running, f.FaultProxy(running.base_url) as proxy:
        yield Ground(server, proxy, FhirClient(proxy.url, sleep=lambda _: None))


@pytest.fixture
def many() -> Iterator[Ground]:
    """Sixty changes within a minute, and pages that are gone after the second one."""
    with ground() as made:
        for n, name in enumerate(NAMES):
            made.put(name, LONG_AGO + timedelta(seconds=(n * 7) % 60))
        made.proxy.arm(f.expired_page(), on=f.is_page)
        yield made


# -- the server's clock --------------------------------------------------------------------------


def test_a_stamp_of_the_future_is_told_once_and_blinds_nobody() -> None:
    with ground() as made:
        made.put("future", NOW + timedelta(days=200))
        made.put("first", NOW - timedelta(hours=1))
        poll = made.poll()
        assert made.look(poll) == ({"future", "first"}, "")
        made.put("later", NOW)
        assert made.look(poll) == ({"later"}, "")


def test_a_cursor_that_passed_the_server_s_time_already_looks_back_a_day() -> None:
    with ground() as made:
        made.put("missed", NOW - timedelta(hours=1))
        made.cursor = PollState(newest=(NOW + timedelta(days=200)).isoformat()).cursor()
        made.client.capability()
        poll = made.poll()
        assert made.look(poll) == ({"missed"}, "")
        assert made.look(poll) == (set(), "")


def test_where_no_date_comes_our_own_clock_is_the_limit() -> None:
    with ground() as made:
        made.proxy.arm(without_date())
        made.put("future", NOW + timedelta(days=200))
        made.put("ahead", NOW + timedelta(minutes=4))
        assert made.look(made.poll()) == ({"future", "ahead"}, "")
        kept = PollState.read(made.cursor)
        assert kept.newest == (NOW + timedelta(minutes=4)).isoformat()


def without_date() -> f.Fault:
    """HTTP/1.0's oldest servers and some gateways send none."""

    def fault(one: f.Request, forward: f.Forward) -> f.Reply:
        found = forward(one)
        kept = {name: value for name, value in found.headers.items() if name.lower() != "date"}
        return replace(found, headers=kept)

    return fault


# -- the overlap ---------------------------------------------------------------------------------


def test_what_the_server_shows_late_is_found_within_the_overlap() -> None:
    with ground() as made:
        poll = made.poll(overlap=timedelta(minutes=5))
        made.put("newest", NOW - timedelta(minutes=1))
        assert made.look(poll) == ({"newest"}, "")
        made.put("shown-late", NOW - timedelta(minutes=5))
        assert made.look(poll) == ({"shown-late"}, "")
        made.put("too-late", NOW - timedelta(minutes=7))
        assert made.look(poll) == (set(), ""), "a sweep finds it"


# -- from where it broke off ---------------------------------------------------------------------


def test_where_pages_do_not_last_nobody_is_skipped(many: Ground) -> None:
    poll = many.poll()
    assert many.look(poll) == (set(NAMES), "")
    assert many.look(poll) == (set(), ""), "all of it lies within the overlap"


def test_a_look_that_broke_off_goes_on_where_it_was(many: Ground) -> None:
    """In another process, and where the server fails again on the way."""
    many.proxy.arm(f.status(500), on=in_order, after=3, times=2)
    assert many.look(many.poll())[1] == "server-broken"
    first = PollState.read(many.cursor)
    with pytest.raises(ServerFault):
        many.poll().look(many.cursor)
    many.proxy.arm(f.status(500), on=in_order, after=3, times=1)
    assert many.look(many.poll())[1] == "server-broken"
    second = PollState.read(many.cursor)
    assert first.reached < second.reached
    assert (first.newest, first.began) == (second.newest, second.began)
    before = len(many.proxy.seen)
    assert many.look(many.poll())[1] == ""
    assert many.told == set(NAMES)
    asked = [dict(one.params)["_lastUpdated"] for one in many.proxy.seen[before:]]
    assert min(asked) == f"ge{second.reached}", "nothing before it is read again"
    assert "p0" not in many.cursor


def in_order(one: f.Request) -> bool:
    return ("_sort", "_lastUpdated") in one.params


def test_resources_of_one_instant_that_no_page_holds_are_read_all_together() -> None:
    with ground() as made:
        for n in range(25):
            made.put(f"p{n:02}", LONG_AGO)
        for n in range(25, 40):
            made.put(f"p{n:02}", LONG_AGO + timedelta(seconds=n))
        made.cursor = PollState(reached=LONG_AGO.isoformat(), began=NOW.isoformat()).cursor()
        assert made.look(made.poll())[1] == ""
        assert len(made.told) == 40


@pytest.mark.parametrize("in_self", [True, False])
def test_a_server_that_does_not_sort_moves_nothing(*, in_self: bool) -> None:
    """As they were made, each changed later than the one before it: in order, by accident."""
    with ground() as made:
        for n in range(12):
            made.put(f"p{n:02}", LONG_AGO + timedelta(minutes=n))
        made.put("p99", LONG_AGO)
        made.proxy.arm(f.expired_page(), on=f.is_page)
        made.proxy.arm(f.ignored_parameter("_sort", in_self=in_self))
        poll = made.poll()
        for _ in range(3):
            assert made.look(poll)[1] == "page-expired"
        made.proxy.disarm()
        assert made.look(poll)[1] == ""
        assert "p99" in made.told


def test_a_server_that_refuses_to_sort_is_asked_without(many: Ground) -> None:
    poll = many.poll()
    refused = f.status(400, {"Content-Type": "application/fhir+json"})
    many.proxy.arm(refused, on=lambda one: any(name == "_sort" for name, _ in one.params))
    for _ in range(2):
        assert many.look(poll)[1] == "page-expired"
    del many.proxy.armed[0]
    assert many.look(poll)[1] == ""
    assert many.told == set(NAMES)


def test_an_entry_that_was_missing_is_not_passed(many: Ground) -> None:
    poll = many.poll()
    without_second = f.of_entries(lambda entries: [entries[0], *entries[2:]])
    many.proxy.arm(without_second, on=in_order, times=1)
    assert many.look(poll)[1] == "cut-short"
    assert many.look(poll)[1] == ""
    assert many.told == set(NAMES)


def test_a_server_without_next_links_is_read_to_the_end() -> None:
    """Medplum's router: a first page, a total, and no way further."""
    with ground() as made:
        for n in range(35):
            made.put(f"p{n:02}", LONG_AGO + timedelta(seconds=n))
        made.proxy.arm(f.no_next())
        assert made.look(made.poll())[1] == ""
        assert len(made.told) == 35


def test_what_was_shown_late_while_it_went_on_is_read_at_its_end() -> None:
    with ground() as made:
        made.cursor = PollState(
            reached=instant_of(NOW - timedelta(seconds=10)),
            began=instant_of(NOW - timedelta(seconds=20)),
        ).cursor()
        made.put("newest", NOW)
        made.put("shown-late", NOW - timedelta(minutes=5, seconds=15))
        poll = made.poll()
        assert made.look(poll) == ({"newest"}, "")
        assert made.look(poll) == ({"shown-late"}, "")


def test_cursors_of_earlier_versions_are_read() -> None:
    kept = '{"newest":"2026-11-22T07:40:00.000+00:00","seen":["a1b2"]}'
    assert PollState.read(kept).seen == ("a1b2",)
    assert PollState.read(kept).cursor() == kept
