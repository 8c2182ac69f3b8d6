"""What the checks of one run share: the probe, what we wrote, and resources to look for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from fhir_adapter.doctor.earlier import Earlier
from fhir_adapter.doctor.own import Own
from fhir_adapter.doctor.probe import Probe, Reply
from fhir_adapter.errors import AdapterError
from fhir_adapter.fhir.reading import part, reference, text
from fhir_adapter.model.server import Verdict
from fhir_adapter.ports import Resource

NOBODY = "fhir-adapter-doctor-nobody"
"""An id, a code and a value that nothing has."""
_SAMPLED = "5"


@dataclass(slots=True, kw_only=True)
class Exam:
    """One server under examination."""

    probe: Probe
    own: Own
    write: bool
    patient: str = ""
    """A patient who has data, as far as anybody knows; empty without one."""
    not_asked: str = ""
    """Why nothing further is asked; set where the address does not answer as a FHIR server."""
    may_write: bool = False
    """Set once a canary of ours was seen to go away again."""
    unwritten: str = "not tried: what is written could not be taken away"
    """Why nothing is written beside the canary."""
    specimens: dict[str, Resource] = field(default_factory=dict[str, Resource])
    """A resource of each type that is there: our own, else one of the server's."""
    replies: dict[str, Reply] = field(default_factory=dict[str, Reply])
    """What the server answered when a specimen was sent, by type."""
    sent: dict[str, Resource] = field(default_factory=dict[str, Resource])
    """Specimens as they were sent."""
    verdicts: dict[str, Verdict] = field(default_factory=dict[str, Verdict])
    """Of the checks so far."""
    memory: dict[str, Reply] = field(default_factory=dict[str, Reply])
    largest_page: int = 0
    earlier: Earlier = field(default_factory=Earlier)
    """What earlier runs had left."""
    listen: Callable[[], object] | None = None

    def once(self, name: str, ask: Callable[[], Reply]) -> Reply:
        """An answer that several checks look at, asked for by the first."""
        if name not in self.memory:
            self.memory[name] = ask()
        return self.memory[name]

    def specimen(self, resource_type: str) -> Resource | None:
        """One that is there; looked for on the server where we did not write it."""
        if resource_type not in self.specimens:
            self.specimens[resource_type] = self._sampled(resource_type) or {}
        return self.specimens[resource_type] or None

    def _sampled(self, resource_type: str) -> Resource | None:
        if resource_type == "Patient" and self.patient:
            reply = self.probe.get(f"Patient/{self.patient}")
            return reply.body if reply.is_good and reply.kind == "Patient" else None
        params = {"_count": _SAMPLED}
        if self.patient and resource_type in OWNERS:
            params = {"patient": self.patient, **params}
        try:
            rows = self.probe.find(resource_type, params).rows(resource_type)
        except AdapterError:
            return None
        return next((one for one in rows if one.get("id")), None)

    def patient_of(self, resource: Resource) -> str:
        """Logical id of the patient that a resource is about; empty where it names none."""
        element = OWNERS.get(text(resource.get("resourceType")), "")
        target = reference(part(resource.get(element))) if element else ""
        return target.removeprefix("Patient/") if target.startswith("Patient/") else ""


OWNERS = {
    **dict.fromkeys(
        (
            "Observation",
            "DiagnosticReport",
            "Condition",
            "Procedure",
            "MedicationRequest",
            "MedicationStatement",
            "MedicationAdministration",
            "MedicationDispense",
            "ServiceRequest",
            "Encounter",
            "QuestionnaireResponse",
            "DocumentReference",
            "GuidanceResponse",
            "List",
        ),
        "subject",
    ),
    **dict.fromkeys(("Immunization", "AllergyIntolerance", "Consent"), "patient"),
    "ResearchSubject": "individual",
    "Task": "for",
}
"""Type -> the element that names its patient."""
