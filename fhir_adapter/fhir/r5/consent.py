"""Consent, which R5 made anew: no scope, ``decision`` as the base rule, provisions as exceptions.

R4's scope is told by a category, where one says it. A Consent that is in force, or may be, and does
not say what it decides is not read, and so the type is not whole: it is never taken for no refusal.
An exception about research in a permission refuses research.
"""

from __future__ import annotations

from fhir_adapter.fhir.r5.concepts import NotRead, renamed, with_codings_of_all, without
from fhir_adapter.fhir.reading import coding, many_codings, parts, text
from fhir_adapter.model.code import Code
from fhir_adapter.ports import Resource

_SCOPES = "http://terminology.hl7.org/CodeSystem/consentscope"
_RESEARCH = "research"
_PRIVACY = "patient-privacy"
_ELSEWHERE = frozenset(("treatment", "adr"))
"""Scopes in which nothing about research can be said."""
_NOT_IN_FORCE = frozenset(("draft", "inactive", "not-done", "entered-in-error"))
_OPT_OUT = Code("http://terminology.hl7.org/CodeSystem/v3-ActCode", "OPTOUT")
_RESEARCH_CATEGORIES = frozenset(
    (
        Code("http://terminology.hl7.org/CodeSystem/consentcategorycodes", "research"),
        Code("http://terminology.hl7.org/CodeSystem/consentcategorycodes", "rsdid"),
        Code("http://terminology.hl7.org/CodeSystem/consentcategorycodes", "rsreid"),
        Code("http://terminology.hl7.org/CodeSystem/v3-ActCode", "RESEARCH"),
        Code("http://terminology.hl7.org/CodeSystem/v3-ActCode", "RSDID"),
        Code("http://terminology.hl7.org/CodeSystem/v3-ActCode", "RSREID"),
    )
)
_REASONS = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
_RESEARCH_PURPOSES = frozenset(
    Code(_REASONS, code)
    for code in (
        "HRESCH",
        "BIORCH",
        "CLINTRCH",
        "CLINTRCHNPC",
        "CLINTRCHPC",
        "PRECLINTRCH",
        "DSRCH",
        "POARCH",
        "TRANSRCH",
    )
)
"""v3-ActReason: health research and its kinds."""
_NAMES = {"subject": "patient", "date": "dateTime"}
_MOVED = ("decision", "provision", "period", "regulatoryBasis")


def to_r4(resource: Resource) -> Resource:
    """The R4 form, with a scope where one can be told."""
    scope = _scope(resource)
    if not _is_readable(resource) and scope not in _ELSEWHERE:
        raise NotRead
    found = renamed(without(resource, *_MOVED), _NAMES)
    if resource.get("status") == "not-done":
        found["status"] = "rejected"
    found["provision"] = _provision(resource)
    rules = parts(resource.get("regulatoryBasis"))
    if rules:
        found["policyRule"] = with_codings_of_all(rules)
    told = [{"system": _SCOPES, "code": scope}]
    return {**found, "scope": {"coding": told}} if scope else found


def _scope(resource: Resource) -> str:
    """The scope that a category says; of several research, empty where none does."""
    said = many_codings(resource.get("category"))
    scopes = [one.code for one in said if one.system == _SCOPES]
    if _RESEARCH in scopes or not _RESEARCH_CATEGORIES.isdisjoint(said):
        return _RESEARCH
    if _PRIVACY in scopes:
        return _PRIVACY
    elsewhere = bool(scopes) and set(scopes) <= _ELSEWHERE and not _touches_research(resource)
    return scopes[0] if elsewhere else ""


def _touches_research(resource: Resource) -> bool:
    """An opt-out, or an exception about research, whatever scope is told beside it."""
    exceptions = parts(resource.get("provision"))
    return _OPT_OUT in _rules(resource) or any(map(_is_about_research, exceptions))


def _rules(resource: Resource) -> tuple[Code, ...]:
    category = many_codings(resource.get("category"))
    return (*category, *many_codings(resource.get("regulatoryBasis")))


def _is_about_research(provision: Resource) -> bool:
    purposes = [one for item in parts(provision.get("purpose")) for one in coding(item)]
    return not _RESEARCH_PURPOSES.isdisjoint(purposes)


def _is_readable(resource: Resource) -> bool:
    """Whether it is known what it decides, or that it is not in force."""
    status = text(resource.get("status"))
    if status != "active":
        return status in _NOT_IN_FORCE
    return text(resource.get("decision")) in ("permit", "deny") or _OPT_OUT in _rules(resource)


def _provision(resource: Resource) -> Resource:
    """R4's root provision is the base rule, those within are its exceptions."""
    decision = text(resource.get("decision"))
    opposite = {"permit": "deny", "deny": "permit"}.get(decision, "")
    exceptions = [_exception(one, opposite) for one in parts(resource.get("provision"))]
    said = {"type": decision, "period": resource.get("period"), "provision": exceptions}
    return {name: value for name, value in said.items() if value}


def _exception(provision: Resource, kind: str) -> Resource:
    """One about research is told without its purpose: R4's reader then sees that it is refused."""
    found = {**provision, "type": kind} if kind else provision
    if kind != "deny":
        return found
    if _is_about_research(provision):
        return {"type": "deny"}
    if "provision" in provision or ("action" in provision and "purpose" not in provision):
        raise NotRead  # what is left permitted, or refused, of all uses cannot be told
    return found
