"""The history of a type: every version, page after page, or a fault."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fhir_adapter.client import FhirClient
from fhir_adapter.errors import ServerBroken

Make = Callable[..., FhirClient]
SINCE = "2026-11-22T00:00:00+00:00"


def version(number: str) -> dict[str, Any]:
    meta = {"versionId": number}
    return {"resource": {"resourceType": "Patient", "id": "1", "meta": meta}}


def page(*entries: dict[str, Any], following: str = "") -> dict[str, Any]:
    links = [{"relation": "next", "url": following}] if following else []
    return {"resourceType": "Bundle", "type": "history", "entry": [*entries], "link": links}


def test_every_version_is_told_and_a_deletion_has_none(
    server: Any, reply: Any, client_of: Make
) -> None:
    deletion = {"request": {"method": "DELETE", "url": "Patient/1"}}
    more = "?_page=2"
    server.say(reply(page(deletion, version("2"), following=more)), reply(page(version("1"))))

    found = client_of(server).history("Patient", since=SINCE)

    assert [one["meta"]["versionId"] for one in found] == ["2", "1"]
    first, second = (one.path for one in server.seen)
    assert first == "/fhir/Patient/_history?_since=2026-11-22T00:00:00%2B00:00"
    assert second == "/fhir/Patient/_history?_page=2"


def test_a_page_of_another_origin_is_not_fetched(server: Any, reply: Any, client_of: Make) -> None:
    server.say(reply(page(following="http://127.0.0.1:9/fhir/x")))
    with pytest.raises(ServerBroken, match="not whole"):
        client_of(server).history("Patient", since=SINCE)
    assert len(server.seen) == 1


def test_a_history_without_an_end_is_not_whole(server: Any, reply: Any, client_of: Make) -> None:
    server.say(reply(page(version("1"), following="?_page=2")))
    with pytest.raises(ServerBroken, match="not whole"):
        client_of(server, max_pages=3).history("Patient", since=SINCE)
    assert len(server.seen) == 3
