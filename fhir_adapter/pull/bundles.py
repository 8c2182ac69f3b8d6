"""A Bundle taken apart: its resources, and what it claims to hold whole."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from fhir_adapter.fhir.outcome import OUTCOME, issues_of
from fhir_adapter.fhir.reading import reference, text
from fhir_adapter.fhir.resource_types import RESOURCE_TYPES
from fhir_adapter.fhir.wire import as_array, as_object
from fhir_adapter.ports import Resource
from fhir_adapter.pull.references import dicts, key_of, rewritten

_KEY = re.compile(r"[A-Za-z]+/[A-Za-z0-9.-]+")
_NO_MATCH = ("include", "outcome")
_WHOLE_BUNDLES = frozenset({"collection", "transaction", "batch"})


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleRead:
    """What is in a Bundle."""

    resources: tuple[Resource, ...]
    """In order, ``urn:`` references replaced by Type/id."""
    deleted: tuple[str, ...]
    """``Type/id`` of entries that say DELETE and hold no resource (Bulk Data, deleted)."""
    is_whole: bool
    """It holds everything about its patients."""
    is_document: bool
    is_cut_short: bool
    """There is more: a further page, matches that were not sent, an outcome that says so."""
    has_lost: bool
    """Something in it is no resource of any known type: nobody knows what it was."""
    issues: Counter[str]

    @property
    def types(self) -> frozenset[str]:
        """Resource types in it."""
        return frozenset(str(r["resourceType"]) for r in self.resources)


def read_bundle(bundle: Resource) -> BundleRead:
    """Take it apart; the Bundle stays as it is."""
    kind = text(bundle.get("type"))
    entries = list(map(as_object, as_array(bundle.get("entry"))))
    gone = [entry for entry in entries if _is_deletion(entry)]
    found = [(e, as_object(e.get("resource"))) for e in entries if not _is_deletion(e)]
    outcomes = [r for _, r in found if r.get("resourceType") == OUTCOME]
    named = [(e, _named(e, r)) for e, r in found if is_known(r) and r not in outcomes]
    lost = sum(not is_known(r) and not _asks(e) for e, r in found)
    issues = Counter[str]()
    deleted = [_deleted(entry) for entry in gone]
    if not all(deleted):
        issues["deletion-unreadable"] += deleted.count("")
    if lost:
        issues["entry-without-resource"] += lost
    is_cut_short = _has_more(bundle, kind, entries) or any(map(_withholds, outcomes))
    if is_cut_short:
        issues["cut-short"] += 1
    names = {str(e["fullUrl"]): key_of(r) for e, r in named if _is_urn(e)}
    return BundleRead(
        resources=tuple(rewritten(r, names) if names else r for _, r in named),
        deleted=tuple(one for one in deleted if one),
        is_whole=kind in _WHOLE_BUNDLES,
        is_document=kind == "document",
        is_cut_short=is_cut_short,
        has_lost=lost > 0,
        issues=issues,
    )


def is_known(resource: Resource) -> bool:
    """Whether it says its resource type, and that is one: a misspelled one may be any."""
    return text(resource.get("resourceType")) in RESOURCE_TYPES


def _has_more(bundle: Resource, kind: str, entries: list[dict[str, Any]]) -> bool:
    """A further page, or matches of a search that are said to exist and were not sent."""
    if any(link.get("relation") == "next" for link in dicts(bundle.get("link"))):
        return True
    total = bundle.get("total")
    if kind != "searchset" or not isinstance(total, int):
        return False
    modes = [as_object(entry.get("search")).get("mode") for entry in entries]
    return total > sum(mode not in _NO_MATCH for mode in modes)


def _withholds(outcome: Resource) -> bool:
    return any(issue.withholds for issue in issues_of(outcome))


def _is_deletion(entry: dict[str, Any]) -> bool:
    return "resource" not in entry and as_object(entry.get("request")).get("method") == "DELETE"


def _asks(entry: dict[str, Any]) -> bool:
    """An entry that asks for something holds nothing."""
    return as_object(entry.get("request")).get("method") in {"GET", "HEAD"}


def _deleted(entry: dict[str, Any]) -> str:
    """``Type/id`` of a DELETE; empty where its address names no one resource."""
    found = reference({"reference": as_object(entry["request"]).get("url")})
    return found if _KEY.fullmatch(found) else ""


def _is_urn(entry: dict[str, Any]) -> bool:
    return str(entry.get("fullUrl", "")).startswith("urn:")


def _named(entry: dict[str, Any], resource: Resource) -> Resource:
    """A resource without id takes the last part of its ``urn:`` fullUrl as one."""
    if "id" in resource or not _is_urn(entry):
        return resource
    return {**resource, "id": str(entry["fullUrl"]).rpartition(":")[2]}
