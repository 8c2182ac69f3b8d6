"""The invariants of the specification, held by an outside FHIRPath engine on every exchange.

Every test client of this folder passes its exchanges with the hook through ``check``: whatever a
test produces is looked at, not only what a test about invariants thinks of.
"""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import fhirpathpy
from fastapi.testclient import TestClient

INVARIANTS = Path(__file__).parents[3] / "shared/suites/cds-hooks/invariants.json"
CHECKED: Counter[str] = Counter()
"""How many elements each invariant was evaluated on in this process."""


@cache
def rules() -> dict[str, Any]:
    """Id -> compiled expression, on the element that ``_elements`` gives for it; none without."""
    if not INVARIANTS.is_file():
        return {}
    return {
        rule["id"]: fhirpathpy.compile(_within(rule) + rule["expression"])
        for rule in json.loads(INVARIANTS.read_text("utf-8"))
    }


def _within(rule: dict[str, str]) -> str:
    return "overrideReasons." if "overrideReasons" in rule["on"] else ""


def holds(name: str, element: dict[str, Any]) -> bool:
    """Whether an element keeps one invariant."""
    CHECKED[name] += 1
    return rules()[name](element) in ([True], [])


def broken(path: str, sent: Any, answer: Any) -> list[str]:
    """Ids of the invariants that an accepted exchange breaks."""
    return [
        name
        for name, elements in _elements(path, sent, answer).items()
        if name in rules()
        for element in elements
        if not holds(name, element)
    ]


def _elements(path: str, sent: Any, answer: Any) -> dict[str, list[dict[str, Any]]]:
    if path.endswith("/feedback"):
        entries = sent["feedback"]
        reasons = [one["overrideReason"] for one in entries if "overrideReason" in one]
        return {"cds-fb-1": entries, "cds-fb-2": entries, "cds-fb-3": reasons}
    if not isinstance(answer, dict) or "cards" not in answer:
        return {}
    cards = answer["cards"]
    suggestions = [one for card in cards for one in card.get("suggestions", [])]
    actions = [one for each in suggestions for one in each.get("actions", [])]
    token = sent.get("fhirAuthorization")
    return {
        "cds-r-1": [{key: sent[key] for key in ("fhirAuthorization", "fhirServer") if key in sent}],
        "cds-r-2": [token] if token else [],
        "cds-resp-1": cards,
        "cds-resp-2": [*actions, *answer.get("systemActions", [])],
        "cds-resp-3": [link for card in cards for link in card.get("links", [])],
        "cds-resp-4": cards,
        "cds-resp-5": suggestions,
        "cds-resp-6": cards,
        "cds-resp-7": suggestions,
    }


class CheckedClient(TestClient):
    """A test client that looks at every answer of the hook that says 200."""

    def request(self, method: str, url: Any, **more: Any) -> Any:  # type: ignore[override] # narrower than the client
        """As the real one; AssertionError where an invariant does not hold."""
        answer = super().request(method, url, **more)
        path = str(url)
        if method == "POST" and path.startswith("/cds-services/") and answer.status_code == 200:
            sent = more.get("json") or json.loads(more.get("content") or b"{}")
            found = answer.json() if answer.content else None
            assert broken(path, sent, found) == []
        return answer
