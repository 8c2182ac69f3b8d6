"""The teaching cohort on any FHIR server: PUT under our own ids, referred-to resources first.

A server may insist that references can be followed. What the cohort only mentions (a newborn, a
physician, other trials) is put there as a bare resource, on every server alike.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import requests

from story.cohort_for_tests import COHORT

Resource = Mapping[str, Any]

OUR_NUMBER = "https://clinicaltrials.gov|NCT05985863"
OUR_STUDY = "ResearchStudy/NCT05985863"
MENTIONED: Mapping[str, Resource] = {
    f"{one['resourceType']}/{one['id']}": one
    for one in (
        {"resourceType": "Patient", "id": "13-newborn-baby"},
        {"resourceType": "Practitioner", "id": "teaching-physician"},
        {"resourceType": "ResearchStudy", "id": "other-trial", "status": "active"},
        {"resourceType": "ResearchStudy", "id": "third-trial", "status": "active"},
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A resource that a server did not take."""

    key: str
    status: int
    said: str


@cache
def cohort() -> Mapping[str, Resource]:
    """Every resource of the teaching cohort, by `Type/id`."""
    found: dict[str, Resource] = {}
    for file in sorted(COHORT.glob("*.json")):
        for entry in json.loads(file.read_text("utf-8"))["entry"]:
            resource = entry["resource"]
            found[f"{resource['resourceType']}/{resource['id']}"] = resource
    return found


def load(base: str) -> tuple[Refused, ...]:
    """Put the cohort on a server that holds our published study; what it refused.

    Our study bears the id that the server gave it; what refers to it follows.
    """
    with requests.Session() as session:
        session.headers["Content-Type"] = "application/fhir+json"
        study = f"ResearchStudy/{_study_id(session, base)}"
        sent = (
            _put(session, base, _follow(one, {OUR_STUDY: study}))
            for one in in_order({**MENTIONED, **cohort()})
        )
        return tuple(refused for refused in sent if refused is not None)


def _study_id(session: requests.Session, base: str) -> str:
    # HAPI answers for 60 s as it did when publishing asked the same and nothing was there yet
    fresh = {"Cache-Control": "no-cache"}
    asked = {"identifier": OUR_NUMBER}
    found = session.get(f"{base}/ResearchStudy", params=asked, headers=fresh, timeout=60)
    (entry,) = found.json()["entry"]
    return str(entry["resource"]["id"])


def _follow(value: Any, names: Mapping[str, str]) -> Any:
    """The same, with references under other names."""
    if isinstance(value, Mapping):
        return {
            name: names.get(part, part) if name == "reference" else _follow(part, names)
            for name, part in value.items()
        }
    return [_follow(part, names) for part in value] if isinstance(value, list) else value


def _put(session: requests.Session, base: str, resource: Resource) -> Refused | None:
    key = f"{resource['resourceType']}/{resource['id']}"
    answer = session.put(f"{base}/{key}", data=json.dumps(resource), timeout=60)
    if answer.ok:
        return None
    return Refused(key=key, status=answer.status_code, said=answer.text[:400])


def in_order(resources: Mapping[str, Resource]) -> Iterator[Resource]:
    """Each after what it refers to; where two refer to each other, one comes without first."""
    sent: set[str] = {OUR_STUDY}
    waiting = dict(resources)
    while waiting:
        ready = [key for key, one in waiting.items() if sent.issuperset(references(one))]
        if not ready:
            key = next(iter(waiting))
            yield {name: value for name, value in waiting[key].items() if name != "link"}
            sent.add(key)
            continue
        for key in ready:
            yield waiting.pop(key)
        sent.update(ready)


def references(value: Any) -> Iterator[str]:
    """Every literal reference in a resource."""
    if isinstance(value, Mapping):
        if isinstance(value.get("reference"), str):
            yield value["reference"]
        value = value.values()
    elif not isinstance(value, list):
        return
    inner: Iterable[Any] = value
    for part in inner:
        yield from references(part)
