"""Whether a FHIR server is at a base URL: a wrong path answers 404 as a missing resource does."""

from __future__ import annotations

from http import HTTPStatus

from fhir_adapter.client import FhirClient, status_of
from fhir_adapter.errors import NotFhir, OtherVersion, ServerFault

_GONE = frozenset((HTTPStatus.NOT_FOUND, HTTPStatus.GONE))
_REMEDY = (
    "Check the base URL, its path included: it is what stands before /metadata and /Patient, such "
    "as https://HOST/fhir or https://HOST/fhir/r4, and no login or error page. `fhir-adapter "
    "server doctor URL` tries one."
)


def told_apart(client: FhirClient, fault: ServerFault) -> ServerFault:
    """A fault as it is; NotFhir for one of an address under which no FHIR server is."""
    if not (_is_gone(fault) or _is_malformed(fault)) or is_endpoint(client):
        return fault
    return no_endpoint(client)


def is_endpoint(client: FhirClient) -> bool:
    """Whether anything speaks FHIR here: one question, or two where /metadata is not there.

    Medplum's router has none and searches all the same. HAPI calls what stands below a type's own
    path malformed (400), which is said of a search elsewhere too. Whatever else goes wrong (no
    answer, no permission) says nothing against the address.
    """
    try:
        client.capability()
    except OtherVersion:
        return True
    except ServerFault as fault:
        malformed = _is_malformed(fault)
        return not (malformed or _is_gone(fault)) or _searches(client, malformed=malformed)
    return True


def _searches(client: FhirClient, *, malformed: bool) -> bool:
    try:
        next(client.pages("Patient", {"_count": "1"}, max_pages=1))
    except ServerFault as fault:
        return not (_is_gone(fault) or (malformed and _is_malformed(fault)))
    return True


def _is_gone(fault: ServerFault) -> bool:
    return isinstance(fault, NotFhir) or status_of(fault) in _GONE


def _is_malformed(fault: ServerFault) -> bool:
    return status_of(fault) == HTTPStatus.BAD_REQUEST


def no_endpoint(client: FhirClient) -> NotFhir:
    """What is said then."""
    return NotFhir("no FHIR server answers there", where=client.base_url, remedy=_REMEDY)
