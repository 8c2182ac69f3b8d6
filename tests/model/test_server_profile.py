"""What follows from findings: nothing from what was not tried."""

from __future__ import annotations

from fhir_adapter.model.server import Finding, ServerProfile, Verdict, WriteWay

WORKS, FAILS, UNSURE = Verdict.WORKS, Verdict.FAILS, Verdict.CANNOT_TELL
SUBJECT = {"kept.ResearchSubject": WORKS, "search.ResearchSubject.identifier": WORKS}


def test_the_ways_to_write_are_those_seen_to_work_the_best_first() -> None:
    profile = ServerProfile(
        verdicts={**SUBJECT, "write.conditional-create": WORKS, "write.conditional-update": UNSURE}
    )
    assert profile.write_ways == (
        WriteWay.CONDITIONAL_CREATE,
        WriteWay.SEARCH_THEN_CREATE,
        WriteWay.NOTHING,
    )


def test_a_server_that_takes_only_tasks_gets_tasks() -> None:
    profile = ServerProfile(
        verdicts={"kept.ResearchSubject": FAILS, "kept.Task": WORKS,
                  "search.Task.identifier": WORKS}
    )  # fmt: skip
    assert profile.write_ways == (WriteWay.TASK, WriteWay.NOTHING)


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
