"""The story of changes: marked, read as it is now, judged, only differences written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec
import pytest

from fhir_adapter.errors import PatientNotFound, ServerFault, ServerUnreachable
from fhir_adapter.model.dates import start_of
from fhir_adapter.model.fact import Fact, PatientRecord
from fhir_adapter.ports import Claimed, Look, Need, Pulled, PulledType, Written
from fhir_adapter.screening import Screened
from fhir_adapter.watching import Tally, Watch, Watched, Worked, look

from facts_for_tests import AS_OF, born, record
from story.cohort_for_tests import decided


@dataclass
class Queue:
    """In memory; a mark during the work keeps the row."""

    rows: dict[str, Claimed] = field(default_factory=dict)
    waiting: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    sequence: int = 0

    def mark(self, patients: Iterable[str], reason: str) -> None:
        for patient in patients:
            self.sequence += 1
            self.rows[patient] = Claimed(patient=patient, reason=reason, sequence=self.sequence)

    def claim(self, limit: int) -> Sequence[Claimed]:
        return list(self.rows.values())[:limit]

    def done(self, claimed: Claimed, *, next_at: int | None = None) -> bool:
        if self.rows[claimed.patient].sequence != claimed.sequence:
            return False
        del self.rows[claimed.patient]
        if next_at is not None:
            self.waiting[claimed.patient] = next_at
        return True

    def failed(self, claimed: Claimed, code: str) -> None:
        self.failures.append(code)


class Cursors(dict[str, str]):
    def cursor(self, name: str) -> str:
        return self.get(name, "")

    def keep_cursor(self, name: str, value: str) -> None:
        self[name] = value


@dataclass
class Feed:
    name: str
    says: Callable[[str], Look]

    def look(self, cursor: str) -> Look:
        return self.says(cursor)


@dataclass
class Source:
    """Answers with an empty record, or an error."""

    error: Exception | None = None
    types: tuple[PulledType, ...] = ()
    during: Callable[[], None] = lambda: None

    def patients(self) -> Iterator[str]:
        yield from ()

    def pull(self, patient: str, needs: Sequence[Need]) -> Pulled:
        self.during()
        if self.error is not None:
            raise self.error
        return Pulled(patient=patient, resources=(), types=self.types)


def worker(
    queue: Queue,
    source: Source | None = None,
    *,
    send: Callable[[Screened], Written | None] = lambda _: None,
    facts: tuple[Fact, ...] = (),
) -> Watch:
    screener = decided().bench.screener

    def normalise(pulled: Pulled) -> PatientRecord:
        return msgspec.structs.replace(record(*facts), patient=pulled.patient)

    found = source or Source()
    study = Watched(screener=lambda: screener, send=send)
    return Watch(
        queue=queue,
        source=lambda: found,
        normalise=normalise,
        needs=(),
        studies=(study,),
        now=lambda: AS_OF,
    )


def sent(one: Screened, **more: Any) -> Written:
    return Written(key="k", patient=one.patient, dry_run=False, **more)


def test_marks_stand_before_the_cursor_moves_on() -> None:
    queue, cursors = Queue(), Cursors()

    def fall(_: object, __: object) -> None:
        raise KeyboardInterrupt

    cursors.keep_cursor = fall  # type: ignore[method-assign] # one method replaced
    with pytest.raises(KeyboardInterrupt):
        look(
            [Feed("poll:Observation", lambda _: Look(patients=("p",), cursor="2"))], queue, cursors
        )
    assert list(queue.rows) == ["p"]
    assert queue.rows["p"].reason == "poll"


def test_a_feed_that_fails_stops_no_other_and_is_said() -> None:
    def broken(_: str) -> Look:
        raise ServerUnreachable("gone")

    queue, cursors = Queue(), Cursors({"census": "1"})
    feeds = [
        Feed("poll:Condition", broken),
        Feed(
            "census", lambda cursor: Look(patients=("a", "b"), cursor=cursor, why_not="cut-short")
        ),
    ]
    found = look(feeds, queue, cursors)
    assert found.marked == 2
    assert found.not_whole == (("poll:Condition", "server-unreachable"), ("census", "cut-short"))
    assert cursors == {"census": "1"}


def test_a_patient_is_read_judged_and_the_differences_are_sent() -> None:
    queue, got = Queue(), list[Screened]()
    queue.mark(["p"], "poll")

    def send(one: Screened) -> Written:
        got.append(one)
        return sent(one, created=("ResearchSubject/1",))

    (worked,) = worker(queue, send=send, facts=(born("1980-02-03"),)).step(10)
    assert (worked.reason, worked.changes, worked.judged, worked.again) == ("poll", 1, 1, False)
    assert [one.patient for one in got] == ["p"]
    assert queue.rows == {}


def test_a_mark_that_comes_meanwhile_is_not_lost() -> None:
    queue = Queue()
    queue.mark(["p"], "poll")
    source = Source(during=lambda: queue.mark(["p"], "notification"))
    (worked,) = worker(queue, source).step(1)
    assert worked.again
    assert queue.rows["p"].reason == "notification"


@pytest.mark.parametrize(
    ("why", "tried_again"),
    [("server-broken", True), ("throttled", True), ("cut-short", True), ("forbidden", False),
     ("not-supported", False), ("", False)],
)  # fmt: skip
def test_what_may_come_another_time_is_judged_and_tried_again(
    why: str, *, tried_again: bool
) -> None:
    """A type that is refused stays refused: nobody is read for it again and again."""
    queue, got = Queue(), list[Screened]()
    queue.mark(["p"], "poll")
    types = tuple(
        PulledType(resource_type=name, complete=not why, why_not=why)
        for name, why in (("Condition", ""), ("Consent", why))
    )

    def send(one: Screened) -> Written:
        got.append(one)
        return sent(one)

    source = Source(types=types)
    (worked,) = worker(queue, source, send=send, facts=(born("1980-02-03"),)).step(1)
    assert len(got) == worked.judged == 1
    assert (worked.error, queue.failures) == ((why, [why]) if tried_again else ("", []))
    assert ("p" in queue.rows) is tried_again


def test_what_another_run_is_writing_is_looked_at_again() -> None:
    """It may be one of another machine that has died: then only this mark remembers the patient."""
    queue = Queue()
    queue.mark(["p"], "poll")
    send = partial(sent, waits=True)
    (worked,) = worker(queue, send=send, facts=(born("1980-02-03"),)).step(1)
    assert (worked.error, worked.judged) == ("", 1), "no failure: another run does it"
    assert (queue.failures, list(queue.rows)) == (["written-by-another-run"], ["p"])


@pytest.mark.parametrize(
    ("error", "kept"), [(PatientNotFound("gone"), False), (ServerFault("broken"), True)]
)
def test_a_record_that_cannot_be_read_changes_nothing(error: Exception, *, kept: bool) -> None:
    queue = Queue()
    queue.mark(["p"], "poll")

    def never(_: Screened) -> Written:
        raise AssertionError("nothing may be written")

    (worked,) = worker(queue, Source(error=error), send=never).step(1)
    assert worked.error == getattr(error, "code", "")
    assert bool(queue.failures) is kept
    assert ("p" in queue.rows) is kept


@pytest.mark.parametrize("how", ["raised", "said"])
def test_what_could_not_be_written_is_tried_again(how: str) -> None:
    queue = Queue()
    queue.mark(["p"], "poll")

    def send(one: Screened) -> Written:
        if how == "raised":
            raise ServerUnreachable("gone")
        return sent(one, error="server-unreachable")

    (worked,) = worker(queue, send=send).step(1)
    assert worked.error == "server-unreachable"
    assert queue.failures == ["server-unreachable"]
    assert "p" in queue.rows


def test_the_day_on_which_time_alone_changes_something_is_waited_for() -> None:
    queue, got = Queue(), list[Screened]()
    queue.mark(["p"], "poll")

    def send(one: Screened) -> None:
        got.append(one)

    list(worker(queue, send=send, facts=(born("2009-02-03"),)).step(1))
    dates = [one.decision.next_date for one in got if one.decision is not None]
    assert dates[0] is not None
    zone = decided().bench.zone
    assert queue.waiting == {"p": start_of(dates[0], zone)}
    assert queue.waiting["p"] > AS_OF


def test_counts_name_nobody() -> None:
    tally = Tally()
    written = Written(key="k", patient="secret", created=("ResearchSubject/1",))
    tally.add(Worked(reason="sweep", written=(written,)))
    tally.add(Worked(reason="poll", error="throttled"))
    assert tally.worked == {"sweep": 1, "poll": 1}
    assert tally.changes == {"sweep": 1}
    assert tally.errors == {"throttled": 1}
    assert "secret" not in repr(tally)
