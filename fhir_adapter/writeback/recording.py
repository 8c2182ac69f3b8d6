"""What one run wrote of a proposal: its targets, its Provenance, and what it came to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fhir_adapter.fhir.normal import same_content
from fhir_adapter.ports import Resource, Written
from fhir_adapter.writeback.filling import filled, with_targets
from fhir_adapter.writeback.remembering import Remembering
from fhir_adapter.writeback.standing import reference_of


@dataclass(slots=True, kw_only=True)
class Recording(Remembering):
    """Ids are those of the server; in a dry run those that it would give."""

    device: Callable[[Recording], str]
    """Id of our Device, made sure of before the first write."""
    left: bool = False
    ids: dict[str, str] = field(default_factory=dict[str, str])
    changed: dict[str, str] = field(default_factory=dict[str, str])
    """Ids by type of what this run created or updated: the targets of the Provenance."""
    created: list[str] = field(default_factory=list[str])
    updated: list[str] = field(default_factory=list[str])
    unchanged: list[str] = field(default_factory=list[str])
    notes: list[str] = field(default_factory=list[str])

    def written(self) -> Written:
        """What it came to so far."""
        return Written(
            key=self.proposal.key,
            patient=self.proposal.patient,
            created=tuple(self.created),
            updated=tuple(self.updated),
            unchanged=tuple(self.unchanged),
            left_to_person=self.left,
            dry_run=not self.sender.write,
            notes=tuple(self.notes),
        )

    def _provenance(self) -> None:
        if self.proposal.provenance is None or not self.changed:
            return
        if "Provenance" in self.sender.choice.left_out:
            self.notes.append("the server takes no Provenance: none written")
            return
        self._sign(self.changed)

    def _sign(self, targets: Mapping[str, str]) -> None:
        """One Provenance of ours about these ids by type."""
        self._make_device()
        wanted = with_targets(self.proposal.provenance or {}, targets)
        resource = filled(wanted, {**self.ids, **targets})
        kept = self.sender.add(resource, lambda: self._arrived(resource, targets))
        self.created.append(reference_of(kept.resource))

    def _arrived(self, provenance: Resource, targets: Mapping[str, str]) -> Resource | None:
        """The Provenance just sent, found by what it targets: it has no identifier of its own."""
        kind, number = next(iter(targets.items()))
        every = self.sender.all("Provenance", {"target": f"{kind}/{number}"})
        return next((one for one in every if same_content(provenance, one)), None)

    def _make_device(self) -> None:
        if "Device" not in self.ids and "Device" not in self.sender.choice.left_out:
            self.ids["Device"] = self.device(self)

    def _did(self, what: list[str], resource: Resource) -> None:
        what.append(reference_of(resource))
        self.changed[str(resource["resourceType"])] = str(resource["id"])
