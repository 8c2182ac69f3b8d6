"""Bulk Data exports of the sandbox: what stood there at kick-off, cut into NDJSON files."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock

from fhir_adapter.fhir.reading import is_object
from fhir_adapter.fhir.wire import encode
from fhir_adapter.ports import Resource
from fhir_adapter.sandbox.habits import Habits
from fhir_adapter.sandbox.refusal import Refusal
from fhir_adapter.sandbox.search import values_at
from fhir_adapter.sandbox.search_table import PATIENT_DATA, TABLE
from fhir_adapter.sandbox.store import Store

_FORMATS = ("application/fhir+ndjson", "application/ndjson", "ndjson")
_MOST_JOBS = 20
_DELETED = "Bundle"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Of whom: everything, the patients' data, or that of a group's members."""

    patients: bool = False
    group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    kind: str
    """output, deleted or error."""
    resource_type: str
    lines: Sequence[Resource]


@dataclass(slots=True, kw_only=True)
class _Job:
    request: str
    moment: str
    files: tuple[_File, ...]
    polls: int = 0


@dataclass(slots=True)
class Exports:
    """Exports that somebody asked for and nobody took back; the oldest are forgotten."""

    store: Store
    habits: Habits
    now: Callable[[], str]
    _jobs: OrderedDict[str, _Job] = field(default_factory=OrderedDict[str, _Job])
    _next: int = 0
    _lock: Lock = field(default_factory=Lock)

    def begin(self, scope: Scope, asked: Sequence[tuple[str, str]], request: str) -> str:
        """A new export's name; its content is settled here, whatever is written later."""
        types, since = self._understood(scope, asked)
        with self.store.lock:
            members = self._members(scope)
            moment = self.now()
            files = tuple(self._files(types, scope, members, since))
        with self._lock:
            self._next += 1
            job = f"e{self._next}"
            self._jobs[job] = _Job(request=request, moment=moment, files=files)
            while len(self._jobs) > _MOST_JOBS:
                self._jobs.popitem(last=False)
        return job

    def status(self, job: str, base: str) -> Resource | str:
        """The manifest, or how far it is."""
        with self._lock:
            found = self._of(job)
            found.polls += 1
            if found.polls <= self.habits.export_polls:
                return f"{found.polls} of {self.habits.export_polls + 1}"
        manifest: Resource = {
            "transactionTime": found.moment,
            "request": found.request,
            "requiresAccessToken": False,
            "output": [],
            "deleted": [],
            "error": [],
        }
        for number, file in enumerate(found.files):
            url = f"{base}/$export-file/{job}/{number}"
            entry = {"type": file.resource_type, "url": url, "count": len(file.lines)}
            manifest[file.kind].append(entry)
        return manifest

    def file(self, job: str, number: int) -> bytes:
        """The lines of one file."""
        with self._lock:
            files = self._of(job).files
        if not 0 <= number < len(files):
            raise Refusal(404, "not-found", "no such file")
        return b"".join(encode(one) + b"\n" for one in files[number].lines)

    def cancel(self, job: str) -> None:
        """Forget it: its files are gone from now on."""
        with self._lock:
            self._of(job)
            del self._jobs[job]

    def _of(self, job: str) -> _Job:
        if job not in self._jobs:
            raise Refusal(404, "not-found", "no such export, or no longer")
        return self._jobs[job]

    def _understood(
        self, scope: Scope, asked: Sequence[tuple[str, str]]
    ) -> tuple[tuple[str, ...], datetime | None]:
        types: dict[str, None] = {}
        since: datetime | None = None
        for name, value in asked:
            if name == "_type":
                types.update(dict.fromkeys(one.strip() for one in value.split(",")))
            elif name == "_since":
                since = _moment(value)
                if since is None:
                    raise Refusal(400, "value", "_since is no instant")
            elif name != "_outputFormat":
                raise Refusal(400, "not-supported", f"{name!r} is not known to this export")
            elif value not in _FORMATS:
                raise Refusal(400, "not-supported", "only NDJSON is exported")
        for name in types:
            if name not in TABLE or name in self.habits.refuses_types:
                raise Refusal(400, "not-supported", f"{name!r} cannot be exported: not known here")
        return tuple(types) or self._every_type(scope), since

    def _every_type(self, scope: Scope) -> tuple[str, ...]:
        names = {"Patient", *PATIENT_DATA} if scope.patients else set(TABLE)
        return tuple(sorted(names - self.habits.refuses_types))

    def _members(self, scope: Scope) -> frozenset[str] | None:
        """Ids of a group's patients; None where nobody is left out."""
        if not scope.group:
            return None
        group = self.store.get("Group", scope.group).resource or {}
        found = values_at(group, "member.entity.reference")
        return frozenset(str(one).rpartition("Patient/")[2] for one in found)

    def _files(
        self,
        types: Iterable[str],
        scope: Scope,
        members: frozenset[str] | None,
        since: datetime | None,
    ) -> Iterator[_File]:
        wanted = tuple(types)
        allowed = [name for name in wanted if name not in self.habits.forbids_types]
        for name in allowed:
            found = [
                one
                for one in self.store.all_of(name)
                if _is_in(one, scope, members) and _is_since(_updated(one), since)
            ]
            most = self.habits.export_lines
            for start in range(0, len(found), most):
                part = found[start : start + most]
                yield _File(kind="output", resource_type=name, lines=part)
        gone = [
            _deletion(one)
            for one, moment in self.store.deleted()
            if since is not None
            and one["resourceType"] in allowed
            and _is_in(one, scope, members)
            and _is_since(moment, since)
        ]
        if gone:
            yield _File(kind="deleted", resource_type=_DELETED, lines=gone)
        refused = [_forbidden(name) for name in wanted if name not in allowed]
        if refused:
            yield _File(kind="error", resource_type="OperationOutcome", lines=refused)


def _is_in(resource: Resource, scope: Scope, members: frozenset[str] | None) -> bool:
    """Whether a resource belongs to the patients that are asked for."""
    name = str(resource["resourceType"])
    if not scope.patients:
        return True
    if name == "Patient":
        return members is None or resource.get("id") in members
    if name not in PATIENT_DATA:
        return False
    if members is None:
        return True
    owners = [
        str(value.get("reference", "")).rpartition("Patient/")[2]
        for path in TABLE[name]["patient"].paths
        for value in values_at(resource, path)
        if is_object(value)
    ]
    return not members.isdisjoint(owners)


def _updated(resource: Resource) -> str:
    meta = resource.get("meta")
    return str(meta.get("lastUpdated", "")) if is_object(meta) else ""


def _is_since(moment: str, since: datetime | None) -> bool:
    """The instant itself is in: whoever asks again from it must miss nothing of it."""
    found = None if since is None else _moment(moment)
    return since is None or found is None or found >= since


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _deletion(resource: Resource) -> Resource:
    url = f"{resource['resourceType']}/{resource['id']}"
    entry = {"request": {"method": "DELETE", "url": url}}
    return {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}


def _forbidden(name: str) -> Resource:
    text = f"{name} was not exported: not allowed to see this resource type"
    return Refusal(403, "forbidden", text).outcome()
