"""A server of R5 for tests: the sandbox, made to hold R5's forms and to search by R5's names."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from fhir_adapter.sandbox import Interactions, RunningSandbox, interactions, search_table

import r5_forms
from story.cohort_for_tests import COHORT


@contextmanager
def r5_sandbox(
    patch: pytest.MonkeyPatch, *, patients: tuple[str, ...] = ()
) -> Iterator[RunningSandbox]:
    """The teaching cohort, or a few of it, on a server that says 5.0.0 and refuses R4's forms."""
    subject = search_table.Parameter("reference", ("subject",))
    row = dict(search_table.TABLE["ResearchSubject"])
    for name in ("patient", "individual"):
        row.pop(name)
    patch.setitem(search_table.TABLE, "ResearchSubject", {**row, "subject": subject})
    patch.setitem(search_table.TABLE, "Consent", {"patient": subject})
    patch.setitem(search_table.REQUIRED, "ResearchSubject", ("status", "study", "subject"))
    published = frozenset(("draft", "active", "retired", "unknown"))
    patch.setitem(search_table.STATUSES, "ResearchSubject", published)
    of_r4 = interactions.capability
    patch.setattr(
        interactions, "capability", lambda *asked: {**of_r4(*asked), "fhirVersion": "5.0.0"}
    )
    made = Interactions(now=lambda: datetime.now(UTC).isoformat())
    for path in sorted(COHORT.glob("*.json")):
        if not patients or path.stem in patients:
            for entry in json.loads(path.read_text("utf-8"), parse_float=Decimal)["entry"]:
                put(made, r5_forms.r5_form(copy.deepcopy(entry["resource"])))
    with RunningSandbox(made) as running:
        yield running


def put(server: Interactions, resource: dict[str, Any]) -> None:
    """As a server would take it: valid R5."""
    r5_forms.valid(resource)
    server.store.load(resource)
