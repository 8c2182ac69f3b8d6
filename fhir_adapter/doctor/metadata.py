"""What the server says of itself, and whether that is so."""

from __future__ import annotations

import re

from fhir_adapter.doctor.check import Check, Seen, either, fails, unsure, works
from fhir_adapter.doctor.exam import Exam
from fhir_adapter.doctor.pairs import PAIRS
from fhir_adapter.doctor.probe import Reply
from fhir_adapter.fhir.reading import is_array, part, parts, text
from fhir_adapter.model.server import Verdict
from fhir_adapter.ports import Resource

_R4 = re.compile(r"4\.[0-3]\.\d+")
_VERSION = re.compile(r"\d{1,2}\.\d{1,2}\.\d{1,2}")
_UNKNOWN_TYPE = "FhirAdapterCanary"


def _statement(exam: Exam) -> Reply:
    return exam.once("metadata", lambda: exam.probe.get("metadata"))


def _present(exam: Exam) -> Seen:
    found = _statement(exam)
    if not found.is_good:
        return fails(f"refused ({found.status})")
    return either(found.kind == "CapabilityStatement", "stated", "no CapabilityStatement")


def _version(exam: Exam) -> Seen:
    said = text(_statement(exam).body.get("fhirVersion"))
    if not said:
        return unsure("none is stated")
    return either(
        _R4.fullmatch(said) is not None,
        "R4",
        said if _VERSION.fullmatch(said) else "another version",
    )


def _types(exam: Exam) -> dict[str, Resource]:
    for rest in parts(_statement(exam).body.get("rest")):
        if rest.get("mode") == "server":
            return {text(one.get("type")): one for one in parts(rest.get("resource"))}
    return {}


def _lists_types(exam: Exam) -> Seen:
    found = len(_types(exam))
    return either(found > 0, f"{found} types", "lists no type")


def _lists_parameters(exam: Exam) -> Seen:
    with_some = sum(1 for one in _types(exam).values() if parts(one.get("searchParam")))
    return either(with_some > 0, f"for {with_some} types", "lists no search parameter")


def _lists_interactions(exam: Exam) -> Seen:
    found = [one for one in _types(exam).values() if is_array(one.get("interaction"))]
    return either(bool(found), f"for {len(found)} types", "lists no interaction")


def _honest(exam: Exam) -> Seen:
    """What is listed was seen to work."""
    listed = {
        (name, text(param.get("name")))
        for name, one in _types(exam).items()
        for param in parts(one.get("searchParam"))
    }
    if not listed:
        return unsure("nothing is listed")
    tried = [pair for pair in PAIRS if (pair.resource_type, pair.parameter) in listed]
    lies = [pair for pair in tried if exam.verdicts.get(pair.id) is Verdict.FAILS]
    proved = [pair for pair in tried if exam.verdicts.get(pair.id) is Verdict.WORKS]
    if lies:
        named = ", ".join(f"{pair.resource_type}.{pair.parameter}" for pair in lies[:3])
        return fails(f"{len(lies)} listed and not working: {named}")
    return works(f"{len(proved)} listed and proved") if proved else unsure("none was proved")


def _complete(exam: Exam) -> Seen:
    """What works is listed."""
    types = _types(exam)
    if not types:
        return unsure("nothing is listed")
    working = [pair for pair in PAIRS if exam.verdicts.get(pair.id) is Verdict.WORKS]
    unlisted = [
        pair
        for pair in working
        if pair.parameter
        not in {
            text(p.get("name"))
            for p in parts(part(types.get(pair.resource_type)).get("searchParam"))
        }
    ]
    if unlisted:
        named = ", ".join(f"{pair.resource_type}.{pair.parameter}" for pair in unlisted[:3])
        return fails(f"{len(unlisted)} working and not listed: {named}")
    return works("all that works") if working else unsure("none was proved")


def _unknown_type(exam: Exam) -> Seen:
    found = exam.probe.find(_UNKNOWN_TYPE, {"_count": "1"})
    return either(not found.is_good, f"refused ({found.status})", f"answered {found.status}")


_NO_STATEMENT = "nothing it says can be used: everything is tried, and proved by canaries"

FIRST: tuple[Check, ...] = (
    Check(
        id="metadata.present",
        title="CapabilityStatement",
        means=_NO_STATEMENT,
        look=_present,
    ),
    Check(
        id="metadata.fhir-version",
        title="speaks R4",
        means="the adapter reads and writes R4 only",
        remedy="Give the base URL of an R4 endpoint.",
        look=_version,
        needed=True,
    ),
    Check(
        id="metadata.types",
        title="lists its resource types",
        means=_NO_STATEMENT,
        look=_lists_types,
    ),
    Check(
        id="metadata.parameters",
        title="lists its search parameters",
        means=_NO_STATEMENT,
        look=_lists_parameters,
    ),
    Check(
        id="metadata.interactions",
        title="lists its interactions",
        means=_NO_STATEMENT,
        look=_lists_interactions,
    ),
    Check(
        id="metadata.unknown-type",
        title="an unknown type is refused",
        means="a type that is not there looks like one without data",
        remedy="Check by hand which types hold data.",
        look=_unknown_type,
    ),
)
LAST: tuple[Check, ...] = (
    Check(
        id="metadata.honest",
        title="what it lists works",
        means="what is listed proves nothing: only what a canary proved is used",
        look=_honest,
    ),
    Check(
        id="metadata.complete",
        title="what works is listed",
        means="the pull does not use a parameter that is left out of the list",
        remedy="Ask the vendor to list it.",
        look=_complete,
    ),
)
