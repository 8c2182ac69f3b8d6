"""Whether an empty answer means that there is nothing: the parameter that selects, proved by type.

Some servers answer a parameter that they do not know as if nobody had data (Medplum's router,
measured), and a refusal that was not found would read as none. A type of which something came is
proved. Of one of which nothing has come yet somebody's resource is looked for without the
parameter, and must be found again with it. Where no such resource can be had (nothing there, or a
server that wants a patient in every search) nothing is proved, and an empty answer counts as empty.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from fhir_adapter.client import Entry, EntryAnswer, FhirClient, escaped, is_answer_to, query
from fhir_adapter.errors import ServerFault
from fhir_adapter.fhir.reading import is_object, parts
from fhir_adapter.ports import Resource
from fhir_adapter.pull.references import patients_of

EMPTIED = "parameter-emptied"
_RARER = 20
"""A type that was empty for everybody is looked at again at the 20th empty answer, the 400th ..."""
_MOST_ENTRIES = 20

Extras = Sequence[Mapping[str, str]]
"""What each search of a type has beside the patient: one per category, or one of nothing."""
_Asked = tuple[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """To one search: its first match, and whether it was answered at all."""

    told: bool
    first: Resource | None = field(default=None, repr=False)


_UNTOLD = _Answer(told=False)


@dataclass(slots=True)
class _Empty:
    answers: int = 0
    next_look: int = 1


@dataclass(slots=True)
class Canaries:
    """What is proved of one server's ``patient``; shared by all runs over it, and by threads."""

    client: FhirClient
    _proved: set[str] = field(default_factory=set[str])
    _empty: dict[str, _Empty] = field(default_factory=dict[str, _Empty])

    def brought(self, resource_type: str) -> None:
        """Something of this type came when a patient's was asked for."""
        self._proved.add(resource_type)

    def emptied(self, extras: Mapping[str, Extras], *, together: bool) -> frozenset[str]:
        """Which of these types, of which nothing came, the server empties by ``patient``.

        ``together``: the server takes batches. What is not answered proves nothing. One resource of
        each type, of whichever patient, is looked at and not kept.
        """
        due = [name for name in extras if self._is_due(name)]
        others = dict[str, Resource]()
        plain = [(name, {"_count": "1"}) for name in due]
        for name, answer in self._ask(plain, together=together):
            if answer.first is not None and patients_of(answer.first):
                others[name] = answer.first
        lost = dict[str, bool]()
        for name, answer in self._ask(list(_of_them(others, extras)), together=together):
            lost[name] = lost.get(name, True) and answer.told and answer.first is None
            if answer.first is not None:
                self._proved.add(name)
        found = frozenset(name for name in lost if lost[name] and self._is_there(others[name]))
        for name in found:  # asked again each time: it may be mended meanwhile
            del self._empty[name]
        return found

    def _is_due(self, resource_type: str) -> bool:
        if resource_type in self._proved:
            return False
        state = self._empty.setdefault(resource_type, _Empty())
        state.answers += 1
        if state.answers < state.next_look:
            return False
        state.next_look = state.answers * _RARER
        return True

    def _is_there(self, resource: Resource) -> bool:
        """Not deleted, nor another's, since it was found."""
        try:
            now = self.client.read(str(resource["resourceType"]), str(resource.get("id", "")))
        except ServerFault:
            return False
        return now is not None and patients_of(now) == patients_of(resource)

    def _ask(self, asked: Sequence[_Asked], *, together: bool) -> Iterator[tuple[str, _Answer]]:
        """The first match of each search; alone where a batch tells nothing of it."""
        for start in range(0, len(asked), _MOST_ENTRIES):
            some = asked[start : start + _MOST_ENTRIES]
            answers = self._in_batch(some) if together and len(some) > 1 else {}
            for number, (name, params) in enumerate(some):
                yield name, answers.get(number) or self._alone(name, params)

    def _in_batch(self, asked: Sequence[_Asked]) -> dict[int, _Answer]:
        """By place: what was answered, and is the answer to this search."""
        entries = [Entry(method="GET", url=f"{name}?{query(params)}") for name, params in asked]
        try:
            answers = self.client.batch(entries)
        except ServerFault:
            return {}
        told = (
            _told(name, params, answer)
            for (name, params), answer in zip(asked, answers, strict=True)
        )
        return {number: one for number, one in enumerate(told) if one is not None}

    def _alone(self, name: str, params: Mapping[str, str]) -> _Answer:
        try:
            page = next(self.client.pages(name, params, max_pages=1))
        except ServerFault:
            return _UNTOLD
        first = next(iter(page.matches), None)
        return _Answer(told=first is not None or not (page.why_not or page.ignored), first=first)


def _of_them(others: Mapping[str, Resource], extras: Mapping[str, Extras]) -> Iterator[_Asked]:
    """Each one's patient, as this patient was asked for."""
    for name, resource in others.items():
        for extra in extras[name]:
            yield name, {"patient": escaped(patients_of(resource)[0]), **extra, "_count": "1"}


def _told(name: str, params: Mapping[str, str], answer: EntryAnswer) -> _Answer | None:
    bundle = answer.resource
    if not answer.good or bundle is None or not is_answer_to(bundle, name, params):
        return None
    if any(issue.withholds for issue in answer.issues):
        return None
    every = (entry.get("resource") for entry in parts(bundle.get("entry")))
    matches = (one for one in every if is_object(one) and one.get("resourceType") == name)
    return _Answer(told=True, first=next(matches, None))
