"""What a write came to, by what the server answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urlsplit

from fhir_adapter.client.transport import Answer
from fhir_adapter.fhir.wire import as_object, decode
from fhir_adapter.ports import Resource


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What a create or update came to. The write is not proved until it has been read back."""

    resource_type: str
    id: str
    version: str
    """versionId; empty where the server keeps none."""
    created: bool
    """201; many servers answer 200 to an update that created (measured on Medplum)."""
    resource: Resource | None = field(repr=False)
    """As the server returned it, None where it returned nothing."""


def saved_of(answer: Answer, sent: Resource) -> Saved:
    """Id and version from the body, else from Location and ETag, else from what was sent."""
    kind = str(sent["resourceType"])
    body = decode(answer.body)
    kept = body if body is not None and body["resourceType"] == sent["resourceType"] else None
    located = _located(answer.headers.get("Location", ""), kind)
    version = as_object((kept or {}).get("meta")).get("versionId")
    etag = answer.headers.get("ETag", "").removeprefix("W/").strip('"')
    return Saved(
        resource_type=kind,
        id=str((kept or {}).get("id") or located[0] or sent.get("id", "")),
        version=str(version or etag or located[1]),
        created=answer.status == HTTPStatus.CREATED,
        resource=kept,
    )


def _located(location: str, resource_type: str) -> tuple[str, str]:
    """Id and version in ``.../Type/id/_history/version``; empty where they are not there."""
    parts = urlsplit(location).path.split("/")
    if resource_type not in parts:
        return "", ""
    rest = parts[parts.index(resource_type) + 1 :]
    version = rest[2] if rest[1:2] == ["_history"] and rest[2:] else ""
    return rest[0] if rest else "", version
