"""Findings as rows, as JSON, as a matrix."""

from __future__ import annotations

from fhir_adapter.model.server import Finding, ServerProfile, Verdict, WriteWay
from fhir_adapter.present.server_report import (
    Column,
    choices,
    finding_json,
    grouped,
    matrix,
    tally,
)

WORKS, FAILS, UNSURE = Verdict.WORKS, Verdict.FAILS, Verdict.CANNOT_TELL


def finding(name: str, verdict: Verdict = WORKS, reason: str = "seen") -> Finding:
    means = "" if verdict is WORKS else "less"
    return Finding(
        id=name, title=f"title|{name}", verdict=verdict, reason=reason, consequence=means,
        remedy=means and "Ask.",
    )  # fmt: skip


FOUND = (
    finding("read.read"),
    finding("search.Patient._id"),
    finding("search.Patient.link"),
    finding("search.Patient.active", FAILS),
    finding("query.has", UNSURE, "a|b"),
)


def test_parameters_that_came_to_the_same_are_one_row() -> None:
    rows = dict(grouped(FOUND))["Search parameters, by type"]
    assert [(row.what, row.verdict) for row in rows] == [
        ("Patient: _id, link", WORKS),
        ("Patient: active", FAILS),
    ]
    assert [row.means for row in rows] == ["", "Less. Ask."]


def test_what_cannot_be_told_means_nothing_yet() -> None:
    rows = dict(grouped(FOUND))["Searching"]
    assert [row.means for row in rows] == [""]


def test_a_matrix_has_a_column_per_server_and_says_why() -> None:
    text = matrix(
        [
            Column(name="one", software="A 1", findings=FOUND),
            Column(name="two", software="", findings=(finding("read.read", FAILS, "no"),)),
        ]
    )
    assert "| one | A 1 | 3 work, 1 fail, 1 cannot be told |" in text
    assert "| title\\|read.read | works | **fails** no |" in text
    assert "| title\\|query.has | ? a\\|b |  |" in text
    assert "## Writing" not in text


def test_choices_and_findings_as_json() -> None:
    said = choices(ServerProfile.of(FOUND), (WriteWay.TASK, WriteWay.NOTHING))
    assert said["unused-parameters"] == {"Patient": ["active"]}
    assert said["write-ways"] == ["task", "nothing"]
    assert finding_json(FOUND[3])["result"] == "fails"
    assert tally(FOUND) == "3 work, 1 fail, 1 cannot be told"
