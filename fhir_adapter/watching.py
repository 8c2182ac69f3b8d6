"""STORY: changes. A patient may have changed -> read again -> judge -> write the differences.

Whatever tells of a change (a poll, a notification, a sweep, a date that was reached, a person)
only marks the patient in a durable queue. A worker reads the record as it is now, judges it and
writes differences only: order, duplicates and lost messages do not
matter, and what is marked once too often costs a reading. Every study is judged: a gate that is
shut today may open on a date.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from fhir_adapter.errors import AdapterError, PatientNotFound
from fhir_adapter.model.dates import start_of
from fhir_adapter.model.decision import Decision
from fhir_adapter.model.fact import PatientRecord
from fhir_adapter.ports import (
    ChangedPatients,
    ChangeFeed,
    Claimed,
    Cursors,
    Need,
    Pulled,
    RecordSource,
    Written,
)
from fhir_adapter.screening import Screened, Screener, screen_facts, with_answers

_BY_ANOTHER = "written-by-another-run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """One study that is kept up to date."""

    screener: Callable[[], Screener]
    """Anew for each patient: a basis ends on its day, and people answer meanwhile."""
    send: Callable[[Screened], Written | None]
    """Writes the differences; None where nothing is due."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LookedAt:
    """What all feeds said in one round."""

    marked: int = 0
    not_whole: tuple[tuple[str, str], ...] = ()
    """(feed, why not)."""
    remedies: tuple[str, ...] = ()
    """What to do about it, each once; nobody is named in them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worked:
    """What one changed patient came to."""

    reason: str
    written: tuple[Written, ...] = ()
    judged: int = 0
    """Studies that it was judged for."""
    again: bool = False
    """Marked again while it was being worked on: its turn comes once more."""
    error: str = ""
    remedy: str = ""
    """What to do about the error; nobody is named in it."""

    @property
    def changes(self) -> int:
        """How many resources were created or updated."""
        each = (one.created + one.updated for one in self.written)
        return sum(len(references) for references in each)

    @property
    def duplicates(self) -> tuple[str, ...]:
        """What stands beside ours and should not; each names a reference of the server's."""
        return tuple(note for one in self.written for note in one.duplicates)


@dataclass(slots=True, kw_only=True)
class Tally:
    """Counts since the start, without any patient."""

    worked: Counter[str] = field(default_factory=Counter[str])
    """Reason to patients."""
    changes: Counter[str] = field(default_factory=Counter[str])
    """Reason to resources written; of reason ``sweep`` there should be none."""
    errors: Counter[str] = field(default_factory=Counter[str])
    doubled: set[str] = field(default_factory=set[str])
    """Duplicates, each once however often its patient is read."""
    remedies: dict[str, str] = field(default_factory=dict[str, str])
    """What to do about an error that writing met, by its code."""

    def add(self, one: Worked) -> None:
        """One more."""
        self.worked[one.reason] += 1
        self.doubled.update(one.duplicates)
        if one.changes:
            self.changes[one.reason] += one.changes
        if one.error:
            self.errors[one.error] += 1
            self.remedies.update({one.error: one.remedy} if one.remedy else {})


def look(feeds: Sequence[ChangeFeed], queue: ChangedPatients, cursors: Cursors) -> LookedAt:
    """Ask every feed once; the marks stand in the queue before a cursor moves on."""
    marked, not_whole, remedies = 0, list[tuple[str, str]](), dict[str, None]()
    for feed in feeds:
        before = cursors.cursor(feed.name)
        try:
            seen = feed.look(before)
        except AdapterError as fault:
            not_whole.append((feed.name, fault.code))
            remedies[fault.remedy] = None
            continue
        reason = feed.name.partition(":")[0]
        queue.mark(seen.patients, reason)
        marked += len(seen.patients)
        if seen.why_not:
            not_whole.append((feed.name, seen.why_not))
        if seen.cursor != before:
            cursors.keep_cursor(feed.name, seen.cursor)
    told = tuple(one for one in remedies if one)
    return LookedAt(marked=marked, not_whole=tuple(not_whole), remedies=told)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """One worker over the queue. Several may run at once: a patient is claimed by one of them."""

    queue: ChangedPatients
    source: Callable[[], RecordSource]
    """A new one for each patient or run: what it caches must not grow old."""
    normalise: Callable[[Pulled], PatientRecord]
    needs: tuple[Need, ...]
    studies: tuple[Watched, ...]
    now: Callable[[], int]
    frozen: bool = False
    """``now`` is one fixed moment: no date is ever reached."""
    read: Callable[[PatientRecord], None] = lambda _record: None
    """Told of every record as it was read: a worklist in memory follows it."""

    def step(self, limit: int) -> Iterator[Worked]:
        """Work on those whose turn it is, at most so many."""
        for claimed in self.queue.claim(limit):
            yield self._work(claimed)

    def _work(self, claimed: Claimed) -> Worked:
        try:
            pulled = self.source().pull(claimed.patient, self.needs)
        except PatientNotFound:
            # deleted, or merged away without a link: nothing is concluded, nothing taken back
            return self._finished(claimed, error=PatientNotFound.code)
        except AdapterError as fault:
            self.queue.failed(claimed, fault.code)
            return Worked(reason=claimed.reason, error=fault.code)
        record = self.normalise(pulled)
        self.read(record)
        return self._judged(claimed, record, lacking=pulled.lacks_for_now)

    def _judged(self, claimed: Claimed, record: PatientRecord, *, lacking: str) -> Worked:
        now = self.now()
        written, decisions = list[Written](), list[Decision]()
        for study in self.studies:
            try:
                found = self._screened(study, record, now)
                sent = study.send(found)
            except AdapterError as fault:
                self.queue.failed(claimed, fault.code)
                return Worked(
                    reason=claimed.reason,
                    written=tuple(written),
                    error=fault.code,
                    remedy=fault.remedy,
                )
            if found.decision is not None:
                decisions.append(found.decision)
            if sent is not None:
                written.append(sent)
        error = next((one.error for one in written if one.error), "")
        waits = _BY_ANOTHER if any(one.waits for one in written) else ""
        # what did not come may come soon, and another run may have died: not done before it is
        if error or lacking or waits:
            self.queue.failed(claimed, error or lacking or waits)
            return Worked(
                reason=claimed.reason,
                written=tuple(written),
                judged=0 if error else len(decisions),
                error=error or lacking,
            )
        next_at = self._next(decisions, now)
        return self._finished(
            claimed, written=tuple(written), judged=len(decisions), next_at=next_at
        )

    def _screened(self, study: Watched, record: PatientRecord, now: int) -> Screened:
        screener = study.screener()
        return screen_facts(screener, with_answers(screener, record), now)

    def _finished(
        self,
        claimed: Claimed,
        *,
        written: tuple[Written, ...] = (),
        judged: int = 0,
        error: str = "",
        next_at: int | None = None,
    ) -> Worked:
        again = not self.queue.done(claimed, next_at=next_at)
        return Worked(
            reason=claimed.reason, written=written, judged=judged, again=again, error=error
        )

    def _next(self, decisions: Iterable[Decision], now: int) -> int | None:
        """When the first local day begins on which a decision may change by time alone."""
        if self.frozen:
            return None
        zone = self.studies[0].screener().compiled.mappings.site.zone
        days = (one.next_date for one in decisions if one.next_date is not None)
        moments = (start_of(day, zone) for day in days)
        return min((moment for moment in moments if moment > now), default=None)
