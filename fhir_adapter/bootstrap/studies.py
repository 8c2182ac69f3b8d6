"""Studies on their way to and from FHIR, and what a server can do for one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from msgspec.json import format as json_format

from fhir_adapter import publishing
from fhir_adapter.artifacts import mappings_dir
from fhir_adapter.bootstrap.clients import record_client, what_it_can
from fhir_adapter.bootstrap.judging import SystemClock
from fhir_adapter.client import FhirClient
from fhir_adapter.fhir.wire import decode, encode
from fhir_adapter.ports import Clock, Need, Resource, StudyPackage
from fhir_adapter.pull.doctor import Finding, ServerDoctor
from fhir_adapter.pull.study import PublishReport, ServerStudies
from fhir_adapter.settings import Settings


def package_from_server(client: FhirClient, name: str) -> StudyPackage:
    """A published study, read back from a FHIR server of R4."""
    what_it_can(client)
    return publishing.from_fhir(ServerStudies(client).fetch(name))


def value_set_resources(package: StudyPackage) -> tuple[Resource, ...]:
    """The curated ValueSets of a study's code sets: wording, displays, sources."""
    folder = mappings_dir() / "terminology" / "value-sets"
    files = (folder / f"{code_set.name}.json" for code_set in package.code_sets)
    found = (decode(path.read_bytes()) for path in files if path.is_file())
    return tuple(resource for resource in found if resource is not None)


def publish(
    package: StudyPackage, client: FhirClient, clock: Clock, *, write: bool
) -> PublishReport:
    """The study's FHIR form onto a server; without ``write`` only what would change."""
    what_it_can(client)
    today = clock.now().date().isoformat()
    resources = publishing.build(package, value_set_resources(package), published=today)
    return ServerStudies(client).publish(resources, write=write)


def build_to_folder(package: StudyPackage, out: Path) -> int:
    """The study's FHIR form as files; how many."""
    today = SystemClock().now().date().isoformat()
    resources = publishing.build(package, value_set_resources(package), published=today)
    out.mkdir(parents=True, exist_ok=True)
    for resource in resources:
        name = f"{resource['resourceType']}-{resource['id']}.json"
        (out / name).write_bytes(json_format(encode(resource), indent=2) + b"\n")
    return len(resources)


Findings = Sequence[Finding]
_PATIENCE = 10
"""Seconds that a doctor gives one answer: a screening waits longer."""


def examine(
    settings: Settings, needs: Sequence[Need], *, known_patient: str, until: float
) -> Findings:
    """What the record server can do for a study, seen until a moment of the monotonic clock."""
    seconds = max(1.0, until - monotonic())
    client = record_client(settings, patience=min(int(seconds), _PATIENCE), takes_r5=False)
    doctor = ServerDoctor(client, is_over=lambda: monotonic() > until)
    return doctor.examine(needs, known_patient=known_patient)
