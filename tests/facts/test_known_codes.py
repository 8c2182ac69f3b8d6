"""What has no code that anybody here can read decides nothing, and is said."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_adapter import load_study
from fhir_adapter.facts.known_codes import KnownCodes
from fhir_adapter.model.code import Code
from fhir_adapter.model.fact import Fact, Kind, Standing
from fhir_adapter.model.mapping import CodeSet
from fhir_adapter.present.rows import criterion_rows
from fhir_adapter.pull.folder import BundleRecord
from fhir_adapter.sandbox.chart import Chart
from fhir_adapter.screening import screen_pulled

from facts_for_tests import fact

SET = CodeSet(
    name="drug",
    url="urn:drug",
    version="1",
    codes=(Code("urn:whole", "1"), Code("urn:level", "ingredient")),
    partial_systems=frozenset(("urn:level",)),
)
NONE = Code("urn:elsewhere", "1")


def of(kind: Kind, code: Code, **more: Any) -> Fact:
    return fact(kind, code, "2026-01-01", **more)


SAID: dict[str, tuple[list[Fact], set[str]]] = {
    "a system that is read": ([of(Kind.MEDICATION, Code("urn:whole", "99"))], set()),
    "a member of a partial system": ([of(Kind.MEDICATION, Code("urn:level", "ingredient"))], set()),
    "no member of a partial system": (
        [of(Kind.MEDICATION, Code("urn:level", "product"))],
        {"medication-without-known-code"},
    ),
    "a system that nobody reads": (
        [of(Kind.CONDITION, NONE), of(Kind.CONDITION, NONE)],
        {"condition-without-known-code"},
    ),
    "entered in error": ([of(Kind.CONDITION, NONE, standing=Standing.IGNORED)], set()),
    "a laboratory value": ([of(Kind.OBSERVATION, NONE)], set()),
}


@pytest.mark.parametrize("name", SAID)
def test_each_kind_with_something_unread_is_one_issue(name: str) -> None:
    facts, said = SAID[name]
    assert KnownCodes([SET]).issues(facts) == said


@pytest.mark.parametrize(
    "code",
    [
        {"text": "Hepatocellular carcinoma"},
        {"coding": [{"system": "urn:local:dx", "code": "HCC1"}]},
        {"coding": [{"code": "C22.0"}]},
    ],
)
def test_an_assumed_answer_says_that_not_all_could_be_read(code: dict[str, Any]) -> None:
    bench = load_study().bench
    chart = Chart(patient="p", sex="male", born="1975-01-01")
    chart.problem("cirrhosis", onset="2020-01-01")
    assert "no known code" not in said_of(bench, chart)
    chart.problem("gastritis", onset="2026-01-01")
    chart.resources[-1]["code"] = code
    assert "some entries have no known code" in said_of(bench, chart)


def said_of(bench: Any, chart: Chart) -> str:
    pulled = BundleRecord(chart.bundle()).pull("p", bench.screener.needs)
    decision = screen_pulled(bench.screener, pulled, bench.moment("2026-11-22")).decision
    assert decision is not None
    rows = criterion_rows(decision, bench.package.study, bench.zone)
    return next(row.say for row in rows if row.number == "E12")
