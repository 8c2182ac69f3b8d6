"""HAPI's clinical reasoning over the benchmark's CQL: put there, asked patient by patient."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import requests

from benchmarks import by_hand, cql_oracle
from benchmarks.cql_oracle import Verdicts
from fhir_adapter.fhir.wire import encode

Resource = Mapping[str, Any]

CANONICAL = "http://example.org/fhir"
TWO_KEYS = "sort by (effective as FHIR.dateTime).value, id.value"
ONE_KEY = "sort by (effective as FHIR.dateTime).value"
"""HAPI's engine sorts by the last of several keys (cqframework/clinical_quality_language #1745)."""
_ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"


@dataclass(frozen=True, kw_only=True)
class Reasoner:
    """A server with `Library/$evaluate` and `PlanDefinition/$apply`."""

    base: str
    as_of: str
    session: requests.Session = field(default_factory=requests.Session)

    def put(self, resources: Iterable[Resource]) -> None:
        """All in one transaction, under our ids."""
        entries = [{"resource": one, "request": _put(one)} for one in resources]
        self._post("", {"resourceType": "Bundle", "type": "transaction", "entry": entries})

    def evaluate(self, library: str, patient: str) -> Verdicts:
        """The eight verdicts on one patient; fails where one is not true, false or null by word."""
        wanted = [{"name": "expression", "valueString": name} for name in by_hand.NAMES]
        said = self._ask(f"Library/{library}/$evaluate", patient, wanted)
        assert said["resourceType"] == "Parameters", said
        found = {one["name"]: _verdict(one) for one in said["parameter"]}
        assert sorted(found) == sorted(by_hand.NAMES), said
        return found

    def apply(self, plan: str, patient: str) -> Resource:
        """The CarePlan that a PlanDefinition becomes for one patient."""
        said = self._ask(f"PlanDefinition/{plan}/$apply", patient, [])
        assert said["resourceType"] == "CarePlan", said
        return said

    def _ask(self, operation: str, patient: str, more: Sequence[Resource]) -> Any:
        moment = [{"name": "AsOf", "valueDateTime": self.as_of}]
        inner = {"resourceType": "Parameters", "parameter": moment}
        asked = [
            {"name": "subject", "valueString": f"Patient/{patient}"},
            {"name": "parameters", "resource": inner},
            *more,
        ]
        return self._post(f"/{operation}", {"resourceType": "Parameters", "parameter": asked})

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        headers = {"Content-Type": "application/fhir+json"}
        answer = self.session.post(
            self.base + path, data=encode(body), headers=headers, timeout=120
        )
        assert answer.ok, answer.text[:2000]
        return answer.json()


def _put(resource: Resource) -> dict[str, str]:
    return {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"}


def _verdict(parameter: Resource) -> bool | None:
    """Null comes as a valueBoolean of which only the reason of its absence is there."""
    if "valueBoolean" in parameter:
        return bool(parameter["valueBoolean"])
    (reason,) = parameter["_valueBoolean"]["extension"]
    assert reason["url"] == _ABSENT, parameter
    return None


def library(name: str, text: str, version: str) -> Resource:
    """A Library that holds CQL as text; the server translates it."""
    data = base64.b64encode(text.encode()).decode()
    return {
        "resourceType": "Library",
        "id": name,
        "url": f"{CANONICAL}/Library/{name}",
        "name": name,
        "version": version,
        "status": "active",
        "type": {"coding": [{"code": "logic-library"}]},
        "content": [{"contentType": "text/cql", "data": data}],
    }


def eight(name: str, sort: str) -> Resource:
    """The eight criteria as a Library of this name, sorted so."""
    text = (cql_oracle.HOME / "eight.cql").read_text("utf-8")
    assert TWO_KEYS in text
    text = text.replace(TWO_KEYS, sort).replace("library Eight ", f"library {name} ")
    return library(name, text, "1.0.0")


def helpers() -> Resource:
    """The conversions that the eight criteria name."""
    text = (cql_oracle.HOME / "fhir-helpers.cql").read_text("utf-8")
    return library("FHIRHelpers", text, "4.0.1")


def value_set(name: str, codes: Iterable[Mapping[str, str]]) -> Resource:
    """The codes of one name, enumerated; the CQL calls it by its bare name."""
    include = [{"system": one["system"], "concept": [{"code": one["code"]}]} for one in codes]
    return {
        "resourceType": "ValueSet",
        "id": name,
        "url": name,
        "status": "active",
        "compose": {"include": include},
    }


def plan(name: str, library_name: str) -> Resource:
    """An action per criterion, there only where the criterion is true."""
    return {
        "resourceType": "PlanDefinition",
        "id": name,
        "url": f"{CANONICAL}/PlanDefinition/{name}",
        "status": "active",
        "library": [f"{CANONICAL}/Library/{library_name}"],
        "action": [_action(criterion) for criterion in by_hand.NAMES],
    }


def _action(criterion: str) -> dict[str, Any]:
    expression = {"language": "text/cql-identifier", "expression": criterion}
    condition = {"kind": "applicability", "expression": expression}
    return {"title": criterion, "condition": [condition]}


def titles(care_plan: Resource) -> list[str]:
    """What the actions that are left are called."""
    (group,) = (one for one in care_plan["contained"] if one["resourceType"] == "RequestGroup")
    return [action["title"] for action in group.get("action", ())]
