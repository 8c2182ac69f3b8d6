"""profiles/views: well formed, shareable and tabular, and described."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_adapter.facts import KINDS

from view_records import ROOT, VIEWS, Row
from view_runner import check, columns

PRIMITIVES = frozenset(
    ("string", "id", "uri", "code", "boolean", "integer", "decimal", "date", "dateTime", "instant")
)


def _every_column(selects: list[Any]) -> list[Row]:
    found: list[Row] = []
    for select in selects:
        found += select.get("column", ())
        found += _every_column(select.get("select", []) + select.get("unionAll", []))
    return found


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_is_shareable_and_tabular(name: str) -> None:
    view = VIEWS[name]
    assert view["id"] == name
    assert view["name"] == name.replace("-", "_")
    assert view["url"].endswith(f"/ViewDefinition/{name}")
    assert view["fhirVersion"] == ["4.0"]
    assert view["description"]
    assert view["title"]
    check(view)
    names = columns(view["select"])
    assert len(names) == len({one.lower() for one in names})  # SQL folds case
    for column in _every_column(view["select"]):
        assert column["type"] in PRIMITIVES
        assert "collection" not in column


def test_every_resource_type_that_facts_reads_has_a_view_or_is_named_in_the_docs() -> None:
    text = (ROOT / "docs/views.md").read_text("utf-8")
    with_view = {view["resource"] for view in VIEWS.values()}
    for name in sorted(KINDS):
        assert name in with_view or f"`{name}`" in text, name
    assert [name for name in VIEWS if f"`{name.replace('-', '_')}`" not in text] == []
