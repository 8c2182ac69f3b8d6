"""What writing back needs from outside: the methods of a FHIR client, and a memory."""

from __future__ import annotations

from typing import Literal, Protocol

from fhir_adapter.client import Found, Params, Saved
from fhir_adapter.ports import Resource

SubjectState = Literal[
    "proposing", "proposed", "taking-back", "taken-back", "left-to-person", "gone"
]
"""proposing, taking-back = begun, and not yet seen to stand: it may or may not have been written.
gone = somebody deleted what we had created: never created again without a person."""


class WriteClient(Protocol):
    """The interactions of FhirClient that are used here."""

    def read(self, resource_type: str, resource_id: str) -> Resource | None:
        """One resource; None where there is none, or none any more."""
        ...

    def search(self, resource_type: str, params: Params) -> Found:
        """All that is found; ``complete`` is False where something may be missing."""
        ...

    def create(self, resource: Resource, *, if_none_exist: Params | None = None) -> Saved:
        """POST, on the condition that nothing of that kind exists."""
        ...

    def update(self, resource: Resource, *, if_match: str = "") -> Saved:
        """PUT, on the condition that this versionId is still the current one."""
        ...

    def update_where(self, resource: Resource, params: Params) -> Saved:
        """PUT on the one resource that the search finds, or a new one where it finds none."""
        ...

    def history(self, resource_type: str, *, since: str) -> tuple[Resource, ...]:
        """Versions of all resources of a type since an instant; deleted ones as they were."""
        ...


class LastWritten(Protocol):
    """What the memory says about one key."""

    @property
    def reference(self) -> str:
        """ResearchSubject/<id>; empty where none was seen to stand."""
        ...

    @property
    def status(self) -> str:
        """ResearchSubject.status as last seen to be written by us; empty where none was."""
        ...

    @property
    def fingerprint(self) -> str:
        """outcome_fingerprint of the last proposal written to its end; empty before the first."""
        ...

    @property
    def state(self) -> SubjectState:
        """Where the proposal stands."""
        ...

    @property
    def changed_at(self) -> int:
        """Instant of the last change of this memory, in microseconds."""
        ...


class SubjectLedger(Protocol):
    """The memory that tells a person's deletion from a proposal never made."""

    def subject(self, key: str) -> LastWritten | None:
        """What we last wrote under this key."""
        ...

    def remember_subject(
        self,
        *,
        key: str,
        patient: str,
        study: str,
        reference: str,
        status: str,
        fingerprint: str,
        state: SubjectState,
    ) -> None:
        """Keep what now stands on the server."""
        ...
