"""First pages of many searches in one batch, each proved as if it had been asked for alone.

A batch saves requests and is never the reason that something is missing: what it does not prove
is left to a single search.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus
from typing import TypeVar

from fhir_adapter.client import (
    Entry,
    EntryAnswer,
    FhirClient,
    Found,
    is_answer_to,
    query,
    status_of,
)
from fhir_adapter.errors import OtherVersion, ServerFault, ServerThrottled, ServerUnreachable
from fhir_adapter.ports import Resource
from fhir_adapter.pull.references import Target, key_of

_T = TypeVar("_T")
_MOST_ENTRIES = 20
"""In one batch: below every limit that is known of a server (FHIR Works 25, Medplum 50, Azure 500),
and the doctor tries more. A patient with many ids needs several."""
_MOST_LOST = 2
"""Batches in a row that came to nothing, after which no more are sent."""
_PASSING = frozenset({429, 500, 502, 503, 504})
_PASSING_WHYS = frozenset({"throttled", "unreachable", "server-broken"})
"""What says nothing about how this server answers another time."""


class Batch(Enum):
    """Whether searches are put into batches."""

    AUTO = "auto"
    """Where the server's CapabilityStatement says so."""
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """One search of a patient's record; its repr shows the type only."""

    resource_type: str
    selecting: tuple[tuple[str, str], ...] = field(repr=False)
    count: int

    @property
    def params(self) -> dict[str, str]:
        """As they are sent."""
        return {**dict(self.selecting), "_count": str(self.count)}

    @property
    def entry(self) -> Entry:
        """As one request of a batch."""
        return Entry(method="GET", url=f"{self.resource_type}?{query(self.params)}")


@dataclass(slots=True)
class Batching:
    """What is known of one server's batches; shared by all runs over it, and by threads."""

    client: FhirClient
    works: bool = True
    """False once batches were refused, or no batch came back."""
    alone: set[str] = field(default_factory=set[str])
    """Types whose searches are not answered well in a batch."""
    proved: set[str] = field(default_factory=set[str])
    """Types of which a batch brought something, or nothing where there was nothing."""
    _lost: int = 0

    def found(self, searches: Sequence[Search]) -> dict[Search, Found]:
        """What came, and came whole; everything else has to be asked for alone."""
        together = [one for one in searches if one.resource_type not in self.alone]
        found: dict[Search, Found] = {}
        for start in range(0, len(together), _MOST_ENTRIES):
            some = [(one, one.entry) for one in together[start : start + _MOST_ENTRIES]]
            for search, answer in self._asked(some) if len(some) > 1 else ():
                whole = self._whole(search, answer)
                if whole is not None:
                    found[search] = whole
        return found

    def read(self, targets: Iterable[Target]) -> Iterator[Resource]:
        """Those of the resources that came, each told by its own type and id."""
        wanted = [(one, Entry(method="GET", url=one.key)) for one in targets]
        for start in range(0, len(wanted), _MOST_ENTRIES):
            for target, answer in self._asked(wanted[start : start + _MOST_ENTRIES]):
                found = answer.resource
                if answer.good and found is not None and key_of(found) == target.key:
                    yield found

    def doubts(self, found: Found) -> bool:
        """Whether nothing came, of a type of which no batch has proved anything yet."""
        return not found.matches and found.resource_type not in self.proved

    def compare(self, alone: Found) -> None:
        """What a single search found where a batch had brought nothing, or somebody else's."""
        if alone.matches:
            self.alone.add(alone.resource_type)
        elif alone.complete:
            self.proved.add(alone.resource_type)

    def _asked(self, wanted: Sequence[tuple[_T, Entry]]) -> list[tuple[_T, EntryAnswer]]:
        """Each with its answer; nothing where there is no batch in the answer."""
        if not self.works:
            return []
        try:
            answers = self.client.batch([entry for _, entry in wanted])
        except ServerFault as fault:
            self._count(fault)
            return []
        self._lost = 0
        return [(one, answer) for (one, _), answer in zip(wanted, answers, strict=True)]

    def _count(self, fault: ServerFault) -> None:
        if isinstance(fault, ServerThrottled | ServerUnreachable):
            return
        refused = HTTPStatus.BAD_REQUEST <= status_of(fault) < HTTPStatus.INTERNAL_SERVER_ERROR
        self._lost += 1
        self.works = not refused and self._lost < _MOST_LOST

    def _whole(self, search: Search, answer: EntryAnswer) -> Found | None:
        first = _bundle(search, answer)
        if first is None:
            if answer.status not in _PASSING:
                self.alone.add(search.resource_type)
            return None
        try:
            found = self.client.search_from(search.resource_type, search.params, first)
        except OtherVersion:  # asked alone it says so of its type
            self.alone.add(search.resource_type)
            return None
        if found.complete:
            if found.matches:
                self.proved.add(search.resource_type)
            return found
        if found.why_not not in _PASSING_WHYS:
            self.alone.add(search.resource_type)
        return None


def _bundle(search: Search, answer: EntryAnswer) -> Resource | None:
    """The first page; None where it may be another search's: entries get lost, doubled, mixed."""
    first = answer.resource
    if not answer.good or first is None or any(issue.withholds for issue in answer.issues):
        return None
    is_ours = first.get("resourceType") == "Bundle" and is_answer_to(
        first, search.resource_type, search.params
    )
    return first if is_ours else None
