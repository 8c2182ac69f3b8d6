"""What counts as the same content after a server has kept it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_adapter.fhir.normal import first_difference, normal_form, same_content

JSON = st.recursive(
    st.none() | st.booleans() | st.text(max_size=5) | st.decimals(allow_nan=False, places=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        pytest.param(
            {"subject": {"reference": "Patient/1/_history/4"}},
            {"subject": {"reference": "Patient/1"}},
            id="a reference loses its version",
        ),
        pytest.param(
            {"evidence": [{"reference": "Observation/1/_history/2#component"}]},
            {"evidence": [{"reference": "Observation/1#component"}]},
            id="a version before a fragment",
        ),
        pytest.param({"value": Decimal("1.50")}, {"value": 1.5}, id="decimals compare by value"),
        pytest.param({"value": 2}, {"value": Decimal("2.0")}, id="whole numbers too"),
        pytest.param(
            {"resourceType": "Basic", "meta": {"tag": []}, "text": {"div": "a"}},
            {"resourceType": "Basic", "meta": {"versionId": "2"}},
            id="meta and narrative belong to the server",
        ),
        pytest.param({"id": None}, {}, id="null is absent"),
        pytest.param({"a": 1}, {"a": 1, "b": 2}, id="what the server added is not compared"),
        pytest.param(
            {"contained": [{"resourceType": "Parameters", "text": {"div": "x"}}]},
            {"contained": [{"resourceType": "Parameters"}]},
            id="narrative of a contained resource",
        ),
    ],
)
def test_what_a_server_may_change_is_no_difference(
    sent: dict[str, Any], read: dict[str, Any]
) -> None:
    assert same_content(sent, read)


@pytest.mark.parametrize(
    ("sent", "read", "path"),
    [
        pytest.param({"a": {"b": "x"}}, {"a": {"b": "y"}}, "a.b", id="a text"),
        pytest.param({"a": {"b": "x"}}, {"a": "x"}, "a", id="an object became a text"),
        pytest.param({"a": ["x"]}, {"a": "x"}, "a", id="a list became a text"),
        pytest.param({"a": ["x", "y"]}, {"a": ["y", "x"]}, "a[0]", id="order of lists counts"),
        pytest.param({"a": ["x"]}, {"a": ["x", "y"]}, "a", id="an item was added"),
        pytest.param({"a": True}, {"a": 1}, "a", id="true is not one"),
        pytest.param({"a": "1"}, {"a": 1}, "a", id="text is not a number"),
        pytest.param({"a": "x"}, {}, "a", id="an element is missing"),
        pytest.param(
            {"resourceType": "Basic", "code": {"text": "a"}},
            {"resourceType": "Basic", "code": {"text": "b"}},
            "Basic.code.text",
            id="the text of a concept is content",
        ),
    ],
)
def test_a_difference_is_named_by_its_path(
    sent: dict[str, Any], read: dict[str, Any], path: str
) -> None:
    assert first_difference(sent, read) == path


@pytest.mark.slow
@given(st.dictionaries(st.text(max_size=5), JSON))
@pytest.mark.untraced
def test_everything_equals_itself_and_its_normal_form(resource: dict[str, Any]) -> None:
    assert same_content(resource, resource)
    assert same_content(resource, normal_form(resource))


def test_the_path_never_holds_a_value() -> None:
    found = first_difference({"name": [{"family": "Canary"}]}, {"name": [{"family": "Other"}]})
    assert found == "name[0].family"
