"""What the server says of itself, and whether that is so."""

from __future__ import annotations

from http import HTTPStatus

from fhir_adapter.client import capability_of
from fhir_adapter.doctor.check import Check, Seen, either, fails, unsure, works
from fhir_adapter.doctor.exam import Exam
from fhir_adapter.doctor.pairs import PAIRS
from fhir_adapter.doctor.probe import OutOfBounds, Reply
from fhir_adapter.errors import OtherVersion, ServerFault, ServerUnreachable
from fhir_adapter.fhir.reading import is_array, part, parts, text
from fhir_adapter.model.server import Verdict
from fhir_adapter.ports import Resource

_UNKNOWN_TYPE = "FhirAdapterCanary"


def _statement(exam: Exam) -> Reply:
    return exam.once("metadata", lambda: exam.probe.get("metadata"))


def _search(exam: Exam, resource_type: str) -> Reply:
    name = f"plain-{resource_type}"
    return exam.once(name, lambda: exam.probe.find(resource_type, {"_count": "1"}))


def _answers(exam: Exam) -> Seen:
    """Two or three questions; where none is answered as FHIR, no other check asks anything.

    Either alone will do: Medplum's router hides its metadata, and a hospital's server may want a
    patient on every search. Open metadata and a 401 to every search ask for credentials first.
    """
    try:
        return _as_fhir(exam)
    except ServerUnreachable as fault:
        return _silent(exam, fault)
    except ServerFault as fault:
        return _ended(exam, _UNANSWERED, fault.message, fault.remedy)


def _silent(exam: Exam, first: ServerUnreachable) -> Seen:
    """Asked once more: a server that comes back is examined, and each check says what it met."""
    try:
        exam.probe.find("Patient", {"_count": "1"})
    except ServerUnreachable as fault:
        return _ended(exam, _SILENT, fault.message, fault.remedy)
    except OutOfBounds:
        return _ended(exam, _SILENT, first.message, first.remedy)
    except ServerFault:
        pass
    return unsure("unreachable")


def _as_fhir(exam: Exam) -> Seen:
    told = _told(exam)
    found = _search(exam, "Patient")
    stated = told is not None and told.kind in _STATEMENTS
    if stated and found.status == HTTPStatus.UNAUTHORIZED:
        found = _search(exam, "Observation")
        stated = found.status != HTTPStatus.UNAUTHORIZED
    if stated or _is_fhir(found):
        return works("it answers")
    refused = {found.status, told.status if told else 0} & _REFUSALS
    if refused:
        return _ended(exam, _REFUSED, f"refused ({max(refused)})", _CREDENTIALS)
    came = f"neither a CapabilityStatement nor a Bundle came back ({(told or found).nature})"
    return _ended(exam, _UNANSWERED, came, "")


def _told(exam: Exam) -> Reply | None:
    """The answer under /metadata; None where there is none that can be used."""
    try:
        return _statement(exam)
    except ServerUnreachable:
        raise
    except ServerFault:
        return None


def _ended(exam: Exam, why: str, seen: str, remedy: str) -> Seen:
    exam.not_asked = why
    return fails(seen, remedy=remedy)


def _is_fhir(found: Reply) -> bool:
    """A Bundle, or a refusal in FHIR's own form of that search (not of an unknown path: 404)."""
    told = found.kind == "OperationOutcome" and found.status in _SEARCH_REFUSED
    return found.is_searchset or told


def _present(exam: Exam) -> Seen:
    found = _statement(exam)
    if not found.is_good:
        return fails(f"refused ({found.status})")
    return either(found.kind in _STATEMENTS, "stated", "no CapabilityStatement")


def _version(exam: Exam) -> Seen:
    """Of another version nothing further is asked: what it would be sent is not in its words."""
    found = _statement(exam)
    try:
        said = capability_of(found.body, where=exam.probe.base)
    except OtherVersion as fault:
        return _ended(exam, _OTHER_VERSION, fault.message, fault.remedy)
    except ServerFault:
        return unsure("none is stated")
    return works("R4") if said.fhir_version else unsure("none is stated")


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


_NO_STATEMENT = (
    "nothing it says can be used: every type is tried, and what comes back empty proved by canaries"
)

_STATEMENTS = frozenset(("CapabilityStatement", "Conformance"))
_UNANSWERED = "not asked: this address does not answer as a FHIR server"
_REFUSED = "not asked: this address refuses every request"
_OTHER_VERSION = "not asked: it is of another version of FHIR"
_SILENT = "not asked: nothing answers at this address"
_REFUSALS = frozenset((HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN))
_SEARCH_REFUSED = frozenset((HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY))
_CREDENTIALS = (
    "Give credentials that it takes: the setting record_token, or smart_client and smart_key; "
    "where a gateway stands in front, the headers that it wants."
)
_NO_FHIR = (
    "Check the base URL (it often ends in /fhir, /R4 or /r4), and whether a login page or a proxy "
    "answers in the server's place: open URL/metadata in a browser."
)

FIRST: tuple[Check, ...] = (
    Check(
        id="metadata.answers",
        title="answers as a FHIR server",
        means="nothing can be read or written, and nothing further was asked",
        remedy=_NO_FHIR,
        look=_answers,
        needed=True,
    ),
    Check(
        id="metadata.present",
        title="CapabilityStatement",
        means=_NO_STATEMENT,
        look=_present,
    ),
    Check(
        id="metadata.fhir-version",
        title="speaks R4",
        means="nothing of it is tried: the adapter reads and writes R4, and some of R5 (5.0.x)",
        remedy="Give the base URL of an R4 endpoint, if there is one.",
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
