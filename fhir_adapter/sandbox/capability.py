"""CapabilityStatement: what this sandbox does, read from its own tables."""

from __future__ import annotations

from fhir_adapter.ports import Resource
from fhir_adapter.sandbox.habits import Habits
from fhir_adapter.sandbox.search_table import COMMON, INCLUDES, TABLE, Parameter


def capability(habits: Habits, date: str) -> Resource:
    """The statement; it does not lie about a habit."""
    types = [name for name in sorted(TABLE) if name not in habits.refuses_types]
    whole = {} if habits.no_bundles else {"interaction": [{"code": code} for code in _SYSTEM]}
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": date,
        "kind": "instance",
        "software": {"name": "fhir-adapter sandbox"},
        "implementation": {"description": "A small R4 server over a folder, for trying things"},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json"],
        "instantiates": [f"{_BULK}/CapabilityStatement/bulk-data"],
        "rest": [
            {
                "mode": "server",
                "resource": [_type(name, habits) for name in types],
                **whole,
                "operation": [_operation("export")],
            }
        ],
    }


_SYSTEM = ("transaction", "batch")
_BULK = "http://hl7.org/fhir/uv/bulkdata"
_EXPORTS = {"Patient": "patient-export", "Group": "group-export"}


def _operation(name: str) -> Resource:
    return {"name": "export", "definition": f"{_BULK}/OperationDefinition/{name}"}


def _type(name: str, habits: Habits) -> Resource:
    codes = ["read", "vread", "create", "update", "search-type", "history-instance"]
    if not habits.no_type_history:
        codes.append("history-type")
    if not habits.no_delete:
        codes.append("delete")
    found: Resource = {
        "type": name,
        "interaction": [{"code": code} for code in codes],
        "versioning": "no-version" if habits.no_versions else "versioned-update",
        "readHistory": True,
        "updateCreate": True,
        "conditionalCreate": not habits.no_conditional_create,
        "conditionalUpdate": True,
        "conditionalDelete": "not-supported" if habits.no_delete else "single",
        "searchParam": [_param(key, value) for key, value in _params(name, habits).items()],
    }
    if name in _EXPORTS:
        found["operation"] = [_operation(_EXPORTS[name])]
    includes = [f"{name}:{key}" for key in INCLUDES.get(name, {})]
    return found | ({"searchInclude": includes} if includes else {})


def _params(name: str, habits: Habits) -> dict[str, Parameter]:
    hidden = {"_lastUpdated"} if habits.no_last_updated else set[str]()
    return {k: v for k, v in {**COMMON, **TABLE[name]}.items() if k not in hidden}


def _param(name: str, parameter: Parameter) -> Resource:
    return {"name": name, "type": parameter.kind}
