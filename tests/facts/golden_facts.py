"""What the normaliser makes of fixed records, as digests: `python tests/facts/golden_facts.py`
writes them anew (PYTHONPATH=tests:.). A digest that changes is an answer that changes: say in the
changelog which, and why.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from fhir_adapter import bootstrap
from fhir_adapter.artifacts import mappings_dir
from fhir_adapter.facts import KINDS, Normaliser
from fhir_adapter.fhir.wire import decode, encode
from fhir_adapter.model.fact import PatientRecord
from fhir_adapter.model.mapping import Mappings
from fhir_adapter.ports import Pulled, PulledType
from fhir_adapter.pull.folder import BundleRecord
from fhir_adapter.sandbox import generator
from fhir_adapter.settings import Settings

from mutations import mutated

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "facts.json"
TYPES = tuple(PulledType(resource_type=name, complete=True) for name in KINDS)
_OWNERS = ("subject", "patient", "individual")


@cache
def mappings() -> Mappings:
    return bootstrap.bench(Settings()).mappings


def teaching() -> list[dict[str, Any]]:
    """The teaching cohort's Bundles."""
    files = sorted(mappings_dir().glob("studies/*/cohort/*.json"))
    found = [decode(file.read_bytes()) for file in files]
    return [bundle for bundle in found if bundle is not None]


def generated(patients: int) -> list[dict[str, Any]]:
    """Generated patients as Bundles, as a server would send them."""
    sent = [decode(encode(chart.bundle())) for chart in generator.patients(patients, seed=11)]
    return [bundle for bundle in sent if bundle is not None]


def pulled(bundle: dict[str, Any]) -> Pulled:
    """All of a Bundle's one patient, every type whole."""
    resources = [entry["resource"] for entry in bundle["entry"]]
    patient = next(BundleRecord(bundle).patients())
    return Pulled(patient=patient, resources=resources, types=TYPES)


def broken(count: int, seed: int = 5) -> Iterator[Pulled]:
    """Mutated resources, each a record of its own beside a Patient and a Medication."""
    donors = [e["resource"] for b in (*teaching(), *generated(3)) for e in b["entry"]]
    donors.sort(key=lambda resource: (resource["resourceType"], str(resource.get("id"))))
    dice = Random(seed)
    for _ in range(count):
        donor = dice.choice(donors)
        resource = mutated(dice, donor, donors)
        yield alone(resource, donor)


def alone(resource: dict[str, Any], donor: dict[str, Any]) -> Pulled:
    """One resource as a record of the patient to whom it belonged before it was changed."""
    names = [donor[name].get("reference", "") for name in _OWNERS if name in donor]
    owners = tuple(name[8:] for name in names if name.startswith("Patient/"))
    if donor["resourceType"] == "Patient":
        owners = (donor["id"],)
    me = {"resourceType": "Patient", "id": "p", "birthDate": "1980-05-01"}
    drug = {"coding": [{"system": "http://www.whocc.no/atc", "code": "L04AD01"}]}
    medication = {"resourceType": "Medication", "id": "m", "code": drug}
    resources = [me, resource, medication]
    return Pulled(patient="p", resources=resources, types=TYPES, aliases=owners)


def digest(records: Iterable[PatientRecord]) -> dict[str, Any]:
    """Counts for people, and the hash of every field of every fact."""
    whole, facts, count = sha256(), 0, 0
    for record in records:
        whole.update(msgspec.json.encode(record))
        facts += len(record.facts)
        count += 1
    return {"records": count, "facts": facts, "sha256": whole.hexdigest()}


def digests() -> dict[str, dict[str, Any]]:
    """One digest per corpus."""
    normalise = Normaliser(mappings())
    return {
        "teaching cohort": digest(normalise(pulled(one)) for one in teaching()),
        "generated patients": digest(normalise(pulled(one)) for one in generated(60)),
        "mutated resources": digest(normalise(one) for one in broken(6000)),
    }


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(json.dumps(digests(), indent=2) + "\n")
