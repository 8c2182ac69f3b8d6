"""What follows from findings: nothing from what was not tried."""

from __future__ import annotations

import pytest

from fhir_adapter.model.server import Finding, ServerProfile, Verdict, WriteWay

WORKS, FAILS, UNSURE = Verdict.WORKS, Verdict.FAILS, Verdict.CANNOT_TELL
SUBJECT = {"kept.ResearchSubject": WORKS, "search.ResearchSubject.identifier": WORKS}


def test_the_way_to_write_is_the_best_that_was_seen_to_work() -> None:
    profile = ServerProfile(
        verdicts={**SUBJECT, "write.conditional-create": WORKS, "write.conditional-update": WORKS}
    )
    assert profile.subject_way is WriteWay.CONDITIONAL_CREATE
    tried = ServerProfile(verdicts={**SUBJECT, "write.conditional-create": UNSURE})
    assert tried.subject_way is WriteWay.SEARCH_THEN_CREATE


@pytest.mark.parametrize("check", list(SUBJECT))
def test_a_subject_that_is_not_kept_or_not_found_is_written_in_no_way(check: str) -> None:
    verdicts = {**SUBJECT, check: FAILS, "write.conditional-create": WORKS, "kept.Task": WORKS}
    assert ServerProfile(verdicts=verdicts).subject_way is None


def test_a_parameter_that_failed_is_not_used_and_one_not_tried_is_not_said() -> None:
    profile = ServerProfile(
        verdicts={"search.Observation.code": FAILS, "search.Observation.date": UNSURE,
                  "search.ObservationX.date": FAILS}
    )  # fmt: skip
    assert profile.unused_parameters("Observation") == {"code"}
    assert not profile.posts_searches


def test_a_finding_knows_its_group() -> None:
    one = Finding(id="search.Patient._id", title="x", verdict=WORKS, reason="x")
    assert one.group == "search"
    profile = ServerProfile.of([one], largest_page=20)
    assert profile.works("search.Patient._id")
    assert profile.largest_page == 20
