"""One pulled record -> a PatientRecord: sorted facts, and what was pulled whole.

Nothing raises and nothing vanishes: what cannot be read makes its kind incomplete, what belongs
to another patient is counted, of two versions of a resource the newer stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from fhir_adapter.facts import (
    allergy,
    composition,
    condition,
    consent,
    document,
    encounter,
    immunization,
    medication,
    observation,
    participation,
    patient,
    procedure,
    questionnaire_response,
    report,
    service_request,
)
from fhir_adapter.facts.context import Context, When, source_of
from fhir_adapter.facts.known_codes import KnownCodes
from fhir_adapter.facts.quantities import Quantities
from fhir_adapter.facts.security import is_restricted
from fhir_adapter.fhir.dates import DateReader
from fhir_adapter.fhir.reading import is_malformed, part, reference, text
from fhir_adapter.model.dates import Span
from fhir_adapter.model.fact import Fact, Kind, PatientRecord, Retrieved
from fhir_adapter.model.mapping import Mappings
from fhir_adapter.ports import Pulled, Resource

Reader = Callable[[Context, Resource, str], tuple[Fact, ...]]

_READERS: dict[str, tuple[Kind, Reader]] = {
    "Patient": (Kind.PATIENT, patient.facts),
    "Observation": (Kind.OBSERVATION, observation.facts),
    "DiagnosticReport": (Kind.REPORT, report.facts),
    "Condition": (Kind.CONDITION, condition.facts),
    "Procedure": (Kind.PROCEDURE, procedure.facts),
    "MedicationRequest": (Kind.MEDICATION, medication.request),
    "MedicationStatement": (Kind.MEDICATION, medication.statement),
    "MedicationAdministration": (Kind.MEDICATION, medication.administration),
    "MedicationDispense": (Kind.MEDICATION, medication.dispense),
    "Immunization": (Kind.IMMUNIZATION, immunization.facts),
    "AllergyIntolerance": (Kind.ALLERGY, allergy.facts),
    "Encounter": (Kind.ENCOUNTER, encounter.facts),
    "ServiceRequest": (Kind.SERVICE_REQUEST, service_request.facts),
    "Consent": (Kind.CONSENT, consent.facts),
    "QuestionnaireResponse": (Kind.ANSWER, questionnaire_response.facts),
    "DocumentReference": (Kind.DOCUMENT, document.facts),
    "ResearchSubject": (Kind.STUDY_PARTICIPATION, participation.facts),
    "Composition": (Kind.DOCUMENT, composition.facts),
}

KINDS: dict[str, Kind] = {
    name: kind for name, (kind, _) in _READERS.items() if name != "Composition"
}
"""Resource type -> the kind of fact that it gives."""

_OWNERS = ("subject", "patient", "individual")
_SAYS_WHAT = ("code", "vaccineCode", "medicationCodeableConcept")
"""Elements without which nobody knows what a resource records."""
UNREADABLE = "unreadable"
OTHER_PATIENT = "other-patient"
DUPLICATE = "duplicate-resource"
NOT_READ = "type-not-read"
RESTRICTED_RESOURCE = "restricted-resource-left-out"
MEDICATION_MISSING = "reference-missing"
ABOUT_ANOTHER = "about-another"
NOT_ASKED = "section-not-asked"

_RUBBISH = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError)


class Normaliser:
    """Reads records of one site; dates and units are worked out once per distinct text."""

    def __init__(self, mappings: Mappings) -> None:
        self._mappings = mappings
        self._dates = DateReader(mappings.site.zone)
        self._quantities = Quantities(mappings.units)
        self._moments: dict[tuple[str, str], When] = {}
        self._known = KnownCodes(mappings.code_sets)

    def __call__(self, pulled: Pulled) -> PatientRecord:
        """One patient's record as facts, in an order that does not depend on the pull's."""
        context = Context(self._mappings, self._dates, self._quantities, moments=self._moments)
        reading = _Reading(context, pulled, self._known)
        for resource in _newest(pulled.resources, reading.issues):
            reading.collect(resource)
        return reading.done()


class _Reading:
    """The work of one record; thrown away afterwards."""

    def __init__(self, context: Context, pulled: Pulled, known: KnownCodes) -> None:
        self._context = context
        self._known = known
        self._pulled = pulled
        self._ids = frozenset((pulled.patient, *pulled.aliases))
        self._mine: list[tuple[str, Resource]] = []
        """(resource type, resource)"""
        self._broken: dict[Kind, str] = {}
        self._facts: list[Fact] = []
        self.issues: dict[str, None] = dict.fromkeys(pulled.issues)

    def collect(self, resource: Resource) -> None:
        """Sort one resource: companions aside, other people's out, the rest to be read."""
        kind = text(resource.get("resourceType"))
        if kind == "Medication":
            self._context.medications[source_of(resource)] = resource
        elif kind == "ResearchStudy":
            self._context.studies[source_of(resource)] = resource
        elif kind not in _READERS:
            self.issues[NOT_READ] = None
        elif not self._is_mine(kind, resource):
            self.issues[OTHER_PATIENT] = None
        elif kind != "Patient" and is_restricted(self._context.mappings.site, resource):
            self.issues[RESTRICTED_RESOURCE] = None
            self._broken.setdefault(_READERS[kind][0], "restricted")
        else:
            self._mine.append((kind, resource))

    def _is_mine(self, kind: str, resource: Resource) -> bool:
        if kind == "Patient":
            return text(resource.get("id")) in self._ids
        is_named = False
        for name in _OWNERS:
            owner = reference(resource[name]) if name in resource else ""
            if owner.startswith("Patient/"):
                if owner[8:] in self._ids:
                    return True
                is_named = True
        return not is_named

    def done(self) -> PatientRecord:
        """Everything that was understood, and what was not."""
        self._context.birth = self._birth()
        for name, resource in self._mine:
            self._read(name, resource)
        if any([fact.about_other for fact in self._facts]):  # noqa: C419 - every record passes here
            self.issues[ABOUT_ANOTHER] = None
        self.issues.update(dict.fromkeys(self._known.issues(self._facts)))
        facts = sorted(self._facts, key=_in_order)
        return PatientRecord(
            patient=self._pulled.patient,
            facts=tuple(facts),
            retrieved=self._retrieved(),
            aliases=self._pulled.aliases,
            resources=len(self._pulled.resources),
            issues=tuple(sorted(self.issues)),
        )

    def _birth(self) -> Span | None:
        own = (
            resource.get("birthDate")
            for name, resource in self._mine
            if name == "Patient" and text(resource.get("id")) == self._pulled.patient
        )
        span, _ = self._context.dates.read(next(own, None))
        return span

    def _read(self, name: str, resource: Resource) -> None:
        kind, reader = _READERS[name]
        try:
            self._facts += reader(self._context, resource, self._pulled.patient)
        except _RUBBISH:
            self.issues[UNREADABLE] = None
            self._broken.setdefault(kind, UNREADABLE)
        if _is_unsaid(resource):
            self.issues[UNREADABLE] = None
            self._broken.setdefault(kind, UNREADABLE)
        if kind is Kind.MEDICATION and self._facts and not _resolved(self._facts[-1]):
            self._broken.setdefault(kind, MEDICATION_MISSING)
        if name == "Composition":
            self._not_asked(resource)

    def _not_asked(self, resource: Resource) -> None:
        for kind in composition.not_asked(resource):
            self._broken.setdefault(kind, NOT_ASKED)

    def _retrieved(self) -> tuple[Retrieved, ...]:
        """Whole only if every resource type that feeds the kind was pulled whole and read."""
        whys: dict[Kind, str] = {}
        for pulled in self._pulled.types:
            kind = KINDS.get(pulled.resource_type)
            if kind is not None:
                why = "" if pulled.complete else pulled.why_not or "incomplete"
                whys[kind] = whys.get(kind) or why
        for kind, why in self._broken.items():
            whys[kind] = whys.get(kind) or why
        return tuple(
            Retrieved(patient=self._pulled.patient, kind=kind, complete=not why, why_not=why)
            for kind, why in sorted(whys.items())
        )


def _is_unsaid(resource: Resource) -> bool:
    """Whether what it records is stated in a way that cannot be read."""
    for name in _SAYS_WHAT:  # noqa: SIM110 - every resource passes here: any() costs three times this
        if name in resource and is_malformed(resource[name]):
            return True
    return False


def _resolved(fact: Fact) -> bool:
    return medication.UNRESOLVED not in fact.issues


def _in_order(fact: Fact) -> tuple[str, int, str]:
    return fact.kind, fact.start_lo, fact.source


def _newest(resources: Sequence[Resource], issues: dict[str, None]) -> Iterable[Resource]:
    """Each resource once: of two with one id the newer, by lastUpdated, then version."""
    found: dict[str, Resource] = {}
    for position, resource in enumerate(resources):
        key = source_of(resource) if text(resource.get("id")) else f"#{position}"
        known = found.get(key)
        if known is None:
            found[key] = resource
        elif known != resource:
            issues[DUPLICATE] = None
            found[key] = max(known, resource, key=_age)
    return found.values()


def _age(resource: Resource) -> tuple[str, int, str, str]:
    meta = part(resource.get("meta"))
    version = text(meta.get("versionId"))
    number = int(version) if version.isdecimal() else 0
    return text(meta.get("lastUpdated")), number, version, str(sorted(resource.items()))
