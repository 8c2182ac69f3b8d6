"""Where changes on a FHIR server come from: a poll of _lastUpdated, a census, a sweep.

Each only says who may have changed. Where a server has ``_lastUpdated`` without a patient the poll
is the truth; where it wants a patient on every search (International Patient Access promises no
more) the truth is a census of the patients in the house; deletions are seen by the sweep alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta

from fhir_adapter.client import Capability, FhirClient, why_not_of
from fhir_adapter.errors import OtherVersion, ServerBroken, ServerFault
from fhir_adapter.fhir.reading import parts
from fhir_adapter.ports import ChangeFeed, Look
from fhir_adapter.pull.endpoint import is_endpoint, no_endpoint, told_apart
from fhir_adapter.pull.polling import LAST_UPDATED, Poll, instant_of, moment_of
from fhir_adapter.pull.references import patients_of, target_of

_FAR = "2999-01-01"
_LONG_AGO = "1900-01-01"

# ------------------------------------------------------------------- can this server be polled?


@dataclass(frozen=True, slots=True, kw_only=True)
class Pollable:
    """Which types can be polled, and why the others cannot."""

    types: tuple[str, ...]
    why_not: Mapping[str, str]
    """The server was asked, and this does not serve."""
    not_reached: Mapping[str, str] = field(default_factory=dict[str, str])
    """The server let nobody in or did not answer: nothing is known, and it is asked again."""
    remedies: tuple[str, ...] = ()
    """What to do about refusals and silence, each once."""
    lists_nothing: bool = False
    """The server's CapabilityStatement offers no type at all."""


def pollable(
    client: FhirClient,
    types: Iterable[str],
    *,
    unused: Callable[[str], frozenset[str]] = lambda _type: frozenset(),
) -> Pollable:
    """Canaries per type: a far future must find nothing, long ago must find what is there.

    A server that ignores the parameter, or answers it with nobody, cannot be polled for that type;
    nor where a doctor saw it fail (``unused`` names a type's parameters of which that is so).
    """
    said = _said(client)
    whys, not_reached, remedies = dict[str, str](), dict[str, str](), dict[str, None]()
    for name in types:
        try:
            whys[name] = _SEEN_TO_FAIL if LAST_UPDATED in unused(name) else _canaries(client, name)
        except ServerFault as fault:
            why = why_not_of(fault)
            (not_reached if why in _NOT_REACHED else whys)[name] = why
            if why not in _SAYS_ENOUGH:
                remedies[fault.remedy] = None
    return Pollable(
        types=tuple(name for name, why in whys.items() if not why),
        why_not={name: why for name, why in whys.items() if why},
        not_reached=not_reached,
        remedies=tuple(remedies),
        lists_nothing=said is not None and not said.types,
    )


def _said(client: FhirClient) -> Capability | None:
    """What the server says of itself; None where that cannot be used. OtherVersion is raised."""
    try:
        return client.capability()
    except OtherVersion:
        raise
    except ServerFault:
        return None


_SEEN_TO_FAIL = "seen-to-fail"
_NOT_REACHED = frozenset(("unauthorized", "unreachable", "throttled", "not-fhir"))
_SAYS_ENOUGH = frozenset(("not-supported",))


def _canaries(client: FhirClient, resource_type: str) -> str:
    """Why it cannot be polled; empty where it can. ServerFault where the server does not answer."""
    try:
        future = _one(client, resource_type, _lastUpdated=f"ge{_FAR}")
    except ServerFault as fault:
        raise told_apart(client, fault) from fault.__cause__
    if future:
        return "parameter-ignored"
    if _one(client, resource_type, _lastUpdated=f"ge{_LONG_AGO}"):
        return ""
    return "parameter-emptied" if _one(client, resource_type) else ""


class AwaitedPoll:
    """ChangeFeed of a type that nothing is known of yet: the canaries first, then its poll.

    A server that is down, or whose credentials have run out, when we start is polled once it is
    back. Until then every look raises what the server came to, or says why it cannot be polled.
    """

    def __init__(self, client: FhirClient, poll: Poll, resource_type: str) -> None:
        self._client = client
        self._poll = poll
        self._type = resource_type
        self._proved = False

    @property
    def name(self) -> str:
        """poll:<type>."""
        return self._poll.name

    def look(self, cursor: str) -> Look:
        """As the poll's, once it is proved."""
        if not self._proved:
            self._client.know_version()
            why = _canaries(self._client, self._type)
            if why:
                return Look(cursor=cursor, why_not=why)
            self._proved = True
        return self._poll.look(cursor)


def _one(client: FhirClient, resource_type: str, **params: str) -> bool:
    """Whether anything is found; a parameter that is missing from ``self`` counts as ignored."""
    page = next(client.pages(resource_type, {**params, "_count": "1"}, max_pages=1))
    return bool(page.matches)


# ------------------------------------------------------------------------------ census and sweep


class Census:
    """ChangeFeed where no poll is possible: who is in the house or expected, again and again.

    Everybody of it is read anew at most every ``every``; or once a day, from the first look after
    ``at`` (a time with a zone, such as that of a quiet hour).
    """

    def __init__(
        self,
        people: Callable[[], Iterable[str]],
        *,
        now: Callable[[], datetime],
        every: timedelta,
        at: time | None = None,
        name: str = "census",
    ) -> None:
        self._people = people
        self._now = now
        self._every = every
        self._at = at
        self._name = name

    @property
    def name(self) -> str:
        """census, or sweep."""
        return self._name

    def look(self, cursor: str) -> Look:
        """Everybody, or nobody before the time has come; ServerFault where it is not whole."""
        now, last = self._now(), moment_of(cursor)
        if last is not None and not self._is_due(last, now):
            return Look(cursor=cursor)
        found = tuple(dict.fromkeys(self._people()))
        return Look(patients=found, cursor=instant_of(now))

    def _is_due(self, last: datetime, now: datetime) -> bool:
        if self._at is None:
            return now - last >= self._every
        today = now.astimezone(self._at.tzinfo).date()
        at = datetime.combine(today, self._at)
        return last < (at if at <= now else datetime.combine(today - timedelta(days=1), self._at))


def in_the_house(client: FhirClient) -> Iterator[str]:
    """Patients with an encounter that runs or is planned (Encounter.status, R4)."""
    wanted = {"status": "planned,arrived,triaged,in-progress,onleave", "_count": "500"}
    yield from _owners(client, "Encounter", wanted)


def _owners(client: FhirClient, resource_type: str, params: Mapping[str, str]) -> Iterator[str]:
    try:
        for page in client.pages(resource_type, params, max_pages=1_000_000):
            for resource in page.matches:
                yield from patients_of(resource)
            if page.why_not or page.ignored:
                raise _not_whole(resource_type, page.why_not or "parameter-ignored")
    except ServerFault as fault:
        raise told_apart(client, fault) from fault.__cause__


def of_group(client: FhirClient, group: str) -> Iterator[str]:
    """Members of an actual Group, those left out that are marked inactive."""
    try:
        found = client.read("Group", group)
    except ServerFault as fault:
        raise told_apart(client, fault) from fault.__cause__
    if found is None:
        raise _not_whole("Group", "not-found") if is_endpoint(client) else no_endpoint(client)
    for member in parts(found.get("member")):
        target = target_of(member.get("entity"))
        if target is not None and target.resource_type == "Patient" and not member.get("inactive"):
            yield target.id


def _not_whole(where: str, why_not: str) -> ServerBroken:
    return ServerBroken(
        f"the census is not whole ({why_not})",
        where=where,
        remedy="Run `fhir-adapter server doctor`; name a Group or a file of ids as census.",
    )


def feeds_of(
    client: FhirClient,
    types: Sequence[str],
    *,
    now: Callable[[], datetime],
    overlap: timedelta,
    unused: Callable[[str], frozenset[str]] = lambda _type: frozenset(),
) -> tuple[list[ChangeFeed], Pollable]:
    """A poll for each type that can be polled or is yet to be known, and what cannot."""
    able = pollable(client, types, unused=unused)

    def poll(name: str) -> Poll:
        return Poll(client, name, now=now, overlap=overlap)

    feeds: list[ChangeFeed] = [poll(name) for name in able.types]
    feeds.extend(AwaitedPoll(client, poll(name), name) for name in able.not_reached)
    return feeds, able
