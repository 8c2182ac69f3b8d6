"""What earlier runs of the doctor left behind when they were killed: found, and taken away.

Only what is certainly the doctor's own, by the token of its run, and only of runs that cannot be
going on any more: the token says until when a run lasts, and whatever was touched within the last
hour spares its whole run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from fhir_adapter.client import origin_of
from fhir_adapter.doctor.own import SYSTEM, Own
from fhir_adapter.doctor.probe import OutOfBounds, Probe, Reply
from fhir_adapter.errors import AdapterError
from fhir_adapter.fhir.reading import is_array, part, parts, text
from fhir_adapter.ports import Resource

_GRACE = timedelta(hours=1)
"""A run takes its own away after its time is up, which may last on a slow server."""
_MOMENT = "%Y%m%dT%H%M%SZ"
_TOKEN = re.compile(r"doctor-(?:(\d{8}T\d{6}Z)-)?[0-9a-f]{12}")
_NAME = re.compile(rf"({_TOKEN.pattern})-\d+")
_BY_LABEL = ("Subscription", "Provenance")
"""Without an identifier: known by the run's token in meta.tag or, a Provenance, in its policy."""
_PAGE, _PAGES, _AT_ONCE, _ROUNDS = "200", 5, 20, 4

Place = tuple[str, str]
"""Type and id."""
_TokenIn = Callable[[Resource], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """``Type/id`` of each resource of an earlier run."""

    removed: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    """Could not be removed."""
    spared: tuple[str, ...] = ()
    """Of a run that may still be going on."""


def token_of(run: str, *, until: datetime) -> str:
    """The token of a run that lasts until then.

    >>> token_of("0123456789ab", until=datetime(2026, 1, 2, tzinfo=UTC))
    'doctor-20260102T000000Z-0123456789ab'
    """
    return f"doctor-{until.astimezone(UTC).strftime(_MOMENT)}-{run}"


@dataclass(slots=True)
class _Run:
    """What one earlier run left."""

    token: str
    places: dict[Place, None] = field(default_factory=dict[Place, None])
    touched: list[str] = field(default_factory=list[str])

    def is_over(self, now: datetime) -> bool:
        """Certainly: by its token, and by when each of its resources was written last."""
        said = _TOKEN.fullmatch(self.token)
        until = said.group(1) if said else None
        if until is None and not all(self.touched):
            return False
        ends = [] if until is None else [_moment(until, _MOMENT)]
        ends += [_moment(one) for one in self.touched if one]
        return all(one is not None and one + _GRACE < now for one in ends)


def _moment(said: str, form: str = "") -> datetime | None:
    """None where it cannot be read, or has no zone."""
    try:
        if form:
            return datetime.strptime(said, form).replace(tzinfo=UTC)
        found = datetime.fromisoformat(said)
    except ValueError:
        return None
    return found if found.tzinfo else None


def clear(probe: Probe, own: Own, kinds: Sequence[str], now: datetime) -> Earlier:
    """Take away what earlier runs left of these types, each after those that it refers to."""
    runs: dict[str, _Run] = {}
    try:
        for kind in kinds:
            found = _pages(probe, kind, {"identifier": f"{SYSTEM}|"}, _named)
            _keep(runs, kind, found, own.token)
        _keep_labelled(probe, runs, own.token)
    except OutOfBounds:
        pass
    over = [run for run in runs.values() if run.is_over(now)]
    order = {kind: place for place, kind in enumerate((*_BY_LABEL, *reversed(kinds)))}
    places = [place for run in over for place in run.places]
    places.sort(key=lambda place: order[place[0]])
    left = _left(own, places)
    return Earlier(
        removed=_told(place for place in places if place not in left),
        left=_told(left),
        spared=_told(place for run in runs.values() if run not in over for place in run.places),
    )


def _told(places: Iterator[Place] | list[Place]) -> tuple[str, ...]:
    return tuple(f"{kind}/{number}" for kind, number in places)


def _left(own: Own, places: list[Place]) -> list[Place]:
    """In rounds: what is referred to may be held until what refers to it is gone."""
    left = places
    for _ in range(_ROUNDS):
        before, left = left, [place for place in left if not _is_removed(own, *place)]
        if not left or len(left) == len(before):
            break
    return left


def _is_removed(own: Own, kind: str, number: str) -> bool:
    try:
        return own.is_removed(kind, number)
    except OutOfBounds:
        return False


def _keep(
    runs: dict[str, _Run], kind: str, found: Mapping[str, tuple[str, Resource]], ours: str
) -> None:
    for number, (token, resource) in found.items():
        if token != ours:
            run = runs.setdefault(token, _Run(token))
            run.places[kind, number] = None
            run.touched.append(text(part(resource.get("meta")).get("lastUpdated")))


def _keep_labelled(probe: Probe, runs: dict[str, _Run], ours: str) -> None:
    """By the tag of each run that was found; a Provenance also by what it tells of."""
    tokens = tuple(runs)
    told_of = [
        f"{kind}/{number}"
        for run in tuple(runs.values())
        for kind, number in run.places
        if kind in {"ResearchSubject", "Device"}
    ]
    for kind in _BY_LABEL:
        for few in _chunks([f"{SYSTEM}|", *(f"{SYSTEM}|{token}" for token in tokens)]):
            _keep(runs, kind, _pages(probe, kind, {"_tag": few}, _labelled), ours)
    for few in _chunks(told_of):
        _keep(runs, "Provenance", _pages(probe, "Provenance", {"target": few}, _labelled), ours)


def _chunks(values: list[str]) -> Iterator[str]:
    """Asked for together; the first alone, for a server may refuse a system without a code."""
    if values:
        yield values[0]
    for start in range(1, len(values), _AT_ONCE):
        yield ",".join(values[start : start + _AT_ONCE])


def _pages(
    probe: Probe, kind: str, params: dict[str, str], token_in: _TokenIn
) -> dict[str, tuple[str, Resource]]:
    """Id -> token and resource of what is ours; nothing where the search is refused.

    Pages are followed while all on them is ours: else the search was not done as asked.
    """
    found: dict[str, tuple[str, Resource]] = {}
    try:
        reply = probe.find(kind, {**params, "_count": _PAGE})
        for _ in range(_PAGES):
            rows = _rows(reply, kind)
            ours = {text(one["id"]): (token_in(one), one) for one in rows if token_in(one)}
            found.update(ours)
            following = reply.link("next")
            same = origin_of(following) == origin_of(probe.base)
            is_home = same and following.startswith(probe.base)
            if not is_home or len(ours) < len(rows):
                break
            reply = probe.get(following)
    except AdapterError:
        pass
    return found


def _rows(reply: Reply, kind: str) -> list[Resource]:
    rows = reply.rows(kind) if reply.is_searchset else []
    return [one for one in rows if text(one.get("id"))]


def _named(resource: Resource) -> str:
    """The token in its one identifier; empty where it has another or none of ours."""
    identifiers = parts(resource.get("identifier"))
    if len(identifiers) != 1 or identifiers[0].get("system") != SYSTEM:
        return ""
    found = _NAME.fullmatch(text(identifiers[0].get("value")))
    return found.group(1) if found else ""


def _labelled(resource: Resource) -> str:
    """The token in its tag, or in the policy of a Provenance."""
    tags = parts(part(resource.get("meta")).get("tag"))
    said = [text(one.get("code")) for one in tags if one.get("system") == SYSTEM]
    if resource.get("resourceType") == "Provenance":
        policies = resource.get("policy")
        named = policies if is_array(policies) else []
        said += [text(one).removeprefix(f"{SYSTEM}#") for one in named]
    return next((one for one in said if _TOKEN.fullmatch(one)), "")
