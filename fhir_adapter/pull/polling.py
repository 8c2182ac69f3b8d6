"""A poll of _lastUpdated: where it stands, what was told already, and how a broken look goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256

from fhir_adapter.client import FhirClient, why_not_of
from fhir_adapter.errors import ServerFault
from fhir_adapter.fhir.reading import is_array, part, text
from fhir_adapter.fhir.set_by import set_by
from fhir_adapter.ports import Look, Resource
from fhir_adapter.pull.merges import edges_of
from fhir_adapter.pull.references import patients_of

OVERLAP = timedelta(minutes=5)
"""Read again at every poll: servers index late and their clocks are not monotonic. LinuxForHealth
states a transaction time-out of 120 s and 2 s of drift; 180 s is the least that is safe there."""
FIRST = timedelta(days=1)
"""What the first look reads back: wide, for our clock may be ahead of the server's."""
GRACE = timedelta(minutes=1)
"""How far a stamp may be ahead of the server's Date: several nodes have several clocks."""
LAST_UPDATED = "_lastUpdated"
_MOST_SEEN = 20_000
_ALL_PAGES = 1_000_000
_PROPOSED = frozenset(("candidate", "potential-candidate", "ineligible", "not-registered"))
"""Statuses that the machine gives, marked as its own."""
_HOLES = frozenset(("parameter-ignored", "withheld-by-server", "entry-without-resource"))
"""Something is missing between what came: no checkpoint may pass it."""
_CUT_SHORT = "cut-short"
_OF_PAGES = frozenset(
    ("page-expired", "next-link-loop", "foreign-next-link", "too-many-pages", _CUT_SHORT)
)
"""The server answers, and only the way from page to page does not serve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PollState:
    """Where a poll stands, on the server's own clock."""

    newest: str = ""
    """Newest meta.lastUpdated seen that the server's own time has reached; a FHIR instant."""
    seen: tuple[str, ...] = ()
    """What of the overlap has been told already, as short hashes of type, id and version."""
    reached: str = ""
    """Where a look that broke off has come to, and the next one begins; empty after a whole one."""
    began: str = ""
    """The server's time when it broke off: all later changes are read once more at the end."""

    @classmethod
    def read(cls, cursor: str) -> PollState:
        """Of a cursor; what cannot be read counts as a first look."""
        try:
            found = part(json.loads(cursor or "{}"))
        except ValueError:
            return cls()
        seen = found.get("seen")
        kept = tuple(text(one) for one in seen) if is_array(seen) else ()
        return cls(
            newest=text(found.get("newest")),
            seen=kept,
            reached=text(found.get("reached")),
            began=text(found.get("began")),
        )

    def cursor(self) -> str:
        """As text to keep; it holds no id of anybody."""
        kept = {"newest": self.newest, "seen": list(self.seen)}
        behind = {"reached": self.reached, "began": self.began} if self.reached else {}
        return json.dumps({**kept, **behind}, separators=(",", ":"))


class Poll:
    """ChangeFeed of one resource type: whatever the server changed since the last look.

    The watermark is the newest ``meta.lastUpdated`` that was seen, as far as the server's own time
    (its Date header) has come: what is stamped later is told and moves nothing. ``now`` is asked
    for the day that the first look reads back, and where a server sends no Date.

    Where pages do not last it goes in the order of time, one first page after the other: what was
    reached is kept, and the next look goes on there. Only a server that was seen to sort is
    believed to have left out nothing.
    """

    def __init__(
        self,
        client: FhirClient,
        resource_type: str,
        *,
        now: Callable[[], datetime],
        overlap: timedelta = OVERLAP,
        page_size: int = 500,
    ) -> None:
        self._client = client
        self._type = resource_type
        self._now = now
        self._overlap = overlap
        self._page_size = page_size
        self._sorts = False
        """Whether this server was seen to sort."""

    @property
    def name(self) -> str:
        """poll:<type>."""
        return f"poll:{self._type}"

    def look(self, cursor: str) -> Look:
        """Who owns what was changed; ServerFault where the first page cannot be had."""
        before = self._client.requests
        state = PollState.read(cursor)
        walk = _Walk(told=set(state.seen), latest=self._latest)
        kept, why_not = self._looked(state, walk)
        return Look(
            patients=tuple(walk.patients),
            cursor=kept.cursor(),
            why_not=why_not,
            requests=self._client.requests - before,
        )

    def _looked(self, state: PollState, walk: _Walk) -> tuple[PollState, str]:
        newest, reached = moment_of(state.newest), moment_of(state.reached)
        if reached is not None:
            walk.newest = state.reached
            try:
                return self._going_on(state, reached, walk)
            except ServerFault as fault:
                if why_not_of(fault) != "not-supported":
                    raise
            return self._page_after_page(state, reached, walk)  # it refuses to sort
        if newest is not None and newest <= self._latest():
            walk.newest = state.newest
            return self._page_after_page(state, newest - self._overlap, walk)
        return self._page_after_page(state, self._now() - FIRST, walk)

    def _latest(self) -> datetime:
        """What no watermark passes: one resource of a clock gone wrong would blind the poll."""
        server = self._client.server_time
        return self._now() + self._overlap if server is None else server + GRACE

    def _page_after_page(
        self, state: PollState, start: datetime, walk: _Walk
    ) -> tuple[PollState, str]:
        """One search; where its pages do not last, at once in the order of time."""
        why_not = self._came(start, walk).why_not
        if not why_not:
            return self._whole(state, walk), ""
        if why_not in _HOLES:
            return state, why_not
        behind = self._behind(state, walk, start)
        if state.reached or why_not not in _OF_PAGES:
            return behind, why_not
        try:
            return self._going_on(behind, start, walk)
        except ServerFault:
            return behind, why_not

    def _going_on(self, state: PollState, start: datetime, walk: _Walk) -> tuple[PollState, str]:
        """From where a look broke off, without the overlap; that comes at the end."""
        reached, why_not = self._in_order(start, walk)
        if why_not:
            return self._behind(state, walk, reached), why_not
        return self._whole(state, walk), ""

    def _whole(self, state: PollState, walk: _Walk) -> PollState:
        """The watermark moves on, not past the time at which a broken look began to go on."""
        if not state.reached:
            return PollState(newest=walk.newest, seen=walk.marks(self._overlap))
        newest = min(walk.newest, state.began or walk.newest, key=_order)
        return PollState(newest=newest, seen=walk.with_marks(state.seen))

    def _behind(self, state: PollState, walk: _Walk, reached: datetime) -> PollState:
        return PollState(
            newest=state.newest,
            seen=walk.with_marks(state.seen),
            reached=instant_of(reached),
            began=state.began or instant_of(self._client.server_time or self._now()),
        )

    def _in_order(self, start: datetime, walk: _Walk) -> tuple[datetime, str]:
        """How far it came, and why no further; ServerFault where nothing came at all.

        One page serves where it leads past the instant at which it began; where more lies at that
        instant than one page holds, all that come are read. An entry that was missing in between
        shows in the next page's total: so far nothing is taken for granted.
        """
        proved = reached = start
        most, owed = 1, 0
        while True:
            try:
                came = self._came(reached, walk, most_pages=most, _sort=LAST_UPDATED)
            except ServerFault as fault:
                if most == 1 and reached == start:
                    raise
                return proved, why_not_of(fault)
            if came.total is not None and came.total < owed:
                return proved, _CUT_SHORT
            further = self._led_to(reached, came) if self._is_cut_off(came) else reached
            if further > reached:
                owed = 0 if came.total is None else came.total - came.before(further)
                proved, reached, most = reached, further, 1
            elif most == 1 and self._is_cut_off(came):
                most = _ALL_PAGES
            else:
                return reached, came.why_not

    def _came(
        self, since: datetime, walk: _Walk, *, most_pages: int = _ALL_PAGES, **more: str
    ) -> _Came:
        """What was changed since, all of it told; and why it is not whole."""
        params = {LAST_UPDATED: f"ge{instant_of(since)}", "_count": str(self._page_size), **more}
        came = _Came()
        for page in self._client.pages(self._type, params, max_pages=most_pages):
            ignored = set(page.ignored) - set(more)
            came.why_not = page.why_not or ("parameter-ignored" if ignored else "")
            came.total = page.total
            came.updated += map(_updated, page.matches)
            for resource in page.matches:
                walk.take(resource)
        return came

    def _is_cut_off(self, came: _Came) -> bool:
        """Whether what is missing lies behind what came, and not between."""
        if came.why_not == _CUT_SHORT:  # a full page has lost none of its own
            return len(came.updated) == self._page_size
        return bool(came.why_not) and came.why_not not in _HOLES

    def _led_to(self, reached: datetime, came: _Came) -> datetime:
        """The instant of the last that came in order; it comes again, with whatever shares it."""
        moments = [one for one in came.updated if one is not None]
        if not moments or len(moments) < len(came.updated) or moments != sorted(moments):
            return reached
        self._sorts = self._sorts or self._was_seen_to_sort(reached, moments[0])
        passed = [one for one in moments if one <= self._latest()]
        return max(reached, _whole_milliseconds(passed[-1])) if self._sorts and passed else reached

    def _was_seen_to_sort(self, since: datetime, oldest: datetime) -> bool:
        """Whether the other way round something newer comes first: a parameter may be ignored."""
        params = {LAST_UPDATED: f"ge{instant_of(since)}", "_count": "1", "_sort": "-_lastUpdated"}
        try:
            page = next(self._client.pages(self._type, params, max_pages=1))
        except ServerFault:
            return False
        newest = _updated(page.matches[0]) if page.matches else None
        return newest is not None and newest > oldest


@dataclass(slots=True)
class _Came:
    """What one search brought: when each was changed, in the order of the server."""

    updated: list[datetime | None] = field(default_factory=list[datetime | None])
    why_not: str = ""
    total: int | None = None

    def before(self, moment: datetime) -> int:
        """How many were changed before it."""
        return sum(one is not None and one < moment for one in self.updated)


@dataclass(slots=True, kw_only=True)
class _Walk:
    """What one look has found so far."""

    told: set[str]
    latest: Callable[[], datetime]
    newest: str = ""
    patients: dict[str, None] = field(default_factory=dict[str, None])
    _marks: dict[str, datetime] = field(default_factory=dict[str, datetime])

    def take(self, resource: Resource) -> None:
        """One changed resource: its patients, unless it was told before or is our own writing."""
        moment, mark = _updated(resource), _mark(resource)
        if moment is not None:
            self._marks[mark] = moment
            newest = moment_of(self.newest)
            if moment <= self.latest() and (newest is None or moment > newest):
                self.newest = text(part(resource.get("meta")).get("lastUpdated"))
        if mark in self.told or is_our_writing(resource):
            return
        for patient in concerned(resource):
            self.patients[patient] = None

    def marks(self, overlap: timedelta) -> tuple[str, ...]:
        """Of what the next look will see again."""
        newest = moment_of(self.newest)
        recent = [
            mark
            for mark, moment in self._marks.items()
            if newest is None or moment >= newest - overlap
        ]
        return tuple(recent[-_MOST_SEEN:])

    def with_marks(self, before: Sequence[str]) -> tuple[str, ...]:
        """Of this look and of those before it: a look that broke off is read again in part."""
        return tuple(dict.fromkeys((*before, *self._marks)))[-_MOST_SEEN:]


def concerned(resource: Resource) -> tuple[str, ...]:
    """Ids of the patients whose record this resource is part of; a merge concerns both."""
    own = patients_of(resource)
    if resource.get("resourceType") != "Patient":
        return own
    joined = [end for edge in sorted(edges_of(resource)) for end in edge]
    return tuple(dict.fromkeys((*own, *joined)))


def is_our_writing(resource: Resource) -> bool:
    """A ResearchSubject as this machine leaves it: what we write never triggers us."""
    return (
        resource.get("resourceType") == "ResearchSubject"
        and set_by(resource) == "machine"
        and text(resource.get("status")) in _PROPOSED
    )


def moment_of(value: str) -> datetime | None:
    """A FHIR instant; None for what is none."""
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found if found.tzinfo else None


def instant_of(moment: datetime) -> str:
    """As it is sent: whole milliseconds, which every server understands."""
    return moment.isoformat(timespec="milliseconds")


def _order(value: str) -> float:
    found = moment_of(value)
    return found.timestamp() if found is not None else float("inf")


def _whole_milliseconds(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _updated(resource: Resource) -> datetime | None:
    return moment_of(text(part(resource.get("meta")).get("lastUpdated")))


def _mark(resource: Resource) -> str:
    meta = part(resource.get("meta"))
    version = text(meta.get("versionId")) or text(meta.get("lastUpdated"))
    told = f"{resource.get('resourceType')}/{resource.get('id')}/{version}"
    return sha256(told.encode()).hexdigest()[:16]
