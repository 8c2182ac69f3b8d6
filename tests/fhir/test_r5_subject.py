"""ResearchSubject between R4 and R5: the state survives, and what is not known is never guessed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_adapter.errors import InternalFault
from fhir_adapter.fhir import r5
from fhir_adapter.fhir.r5.subject import STATES
from fhir_adapter.present.resources import research_subject
from fhir_adapter.writeback.standing import Expected

import r5_forms
from r5_forms import STATE

LATER = {"startDate": "2026-03-01"}
ENDED = {"startDate": "2025-01-01", "endDate": "2025-02-01"}


def entry(code: str, **more: Any) -> dict[str, Any]:
    return {"subjectState": {"coding": [{"system": STATE, "code": code}]}, **more}


def standing(*progress: dict[str, Any], status: str = "active") -> dict[str, Any]:
    """As somebody else's R5 server holds it."""
    return {
        "resourceType": "ResearchSubject",
        "id": "1",
        "status": status,
        "progress": list(progress),
        "study": {"reference": "ResearchStudy/1"},
        "subject": {"reference": "Patient/1"},
    }


def ours(status: str) -> dict[str, Any]:
    return research_subject(key="k", status=status, study="ResearchStudy/1", patient="1")


# ------------------------------------------------------------------------------- out and back


@given(st.sampled_from(sorted(STATES)), st.fixed_dictionaries({}, optional={
    "period": st.just({"start": "2026-01-01", "end": "2026-02-01"}),
    "assignedArm": st.text("abc", min_size=1), "actualArm": st.text("abc", min_size=1),
    "consent": st.just({"reference": "Consent/1"}), "id": st.just("x"),
}))  # fmt: skip
def test_every_status_goes_out_and_comes_back(status: str, more: dict[str, Any]) -> None:
    sent = {**ours(status), **more}
    told = r5.to_r5(sent)
    r5_forms.valid(told)
    assert (told["status"], len(told["progress"])) == ("active", 1)
    assert r5.to_r4(told) == sent


def test_who_set_the_status_stands_on_the_state() -> None:
    (only,) = r5.to_r5(ours("candidate"))["progress"]
    (mark,) = only["subjectState"]["extension"]
    assert mark["valueCode"] == "machine"


entries = st.builds(
    lambda code, more, kind: {**entry(code), **more, **kind},
    st.sampled_from([*sorted(STATES), "another"]),
    st.sampled_from([{}, LATER, ENDED]),
    st.sampled_from([{}, {"reason": {"text": "a person's"}}, {"milestone": [{"text": "m"}]}]),
)


@given(
    st.lists(entries, max_size=3),
    st.sampled_from(["active", "retired", "draft", "unknown"]),
)
def test_what_somebody_else_wrote_goes_back_as_it_came(
    progress: list[dict[str, Any]], status: str
) -> None:
    sent = standing(*progress, status=status)
    back = r5.to_r5(r5.to_r4(sent))
    wanted = sent if progress else {k: v for k, v in sent.items() if k != "progress"}
    assert back == wanted


# ------------------------------------------------------------------------------- the state

KNOWN = {
    "one": ((entry("screening"),), "screening"),
    "one with a start": ((entry("on-study", **LATER),), "on-study"),
    "an ended one before it": ((entry("candidate", **ENDED), entry("eligible")), "eligible"),
    "off after taking part": ((entry("on-study", **ENDED), entry("off-study")), "off-study"),
    "a milestone beside it": (({"milestone": [{"text": "m"}]}, entry("eligible")), "eligible"),
}  # fmt: skip
UNKNOWN = {
    "none": (),
    "several open": (entry("candidate"), entry("screening", **LATER)),
    "several open of one state": (entry("candidate"), entry("candidate")),
    "all have ended": (entry("on-study", **ENDED),),
    "a code of another system": (
        {"subjectState": {"coding": [{"system": "http://a.example", "code": "candidate"}]}},
    ),
    "words": ({"subjectState": {"text": "candidate"}},),
    "took part before": (entry("candidate"), entry("on-study", **ENDED)),
    "an ended entry that cannot be read": (
        entry("candidate"), {"subjectState": {"text": "?"}, **ENDED},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", KNOWN)
def test_the_open_entry_is_the_status(name: str) -> None:
    progress, status = KNOWN[name]
    assert r5.to_r4(standing(*progress))["status"] == status


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_not_known_is_no_status(name: str) -> None:
    found = r5.to_r4(standing(*UNKNOWN[name]))
    assert "status" not in found
    assert found["progress"] == list(UNKNOWN[name])


@pytest.mark.parametrize("status", ["draft", "retired", "unknown", "", 7])
def test_a_resource_that_is_not_active_has_no_status(status: Any) -> None:
    assert "status" not in r5.to_r4(standing(entry("on-study"), status=status))


@pytest.mark.parametrize("progress", [None, "on-study", {}, [None], [{"subjectState": "x"}]])
def test_what_is_malformed_has_no_status(progress: Any) -> None:
    assert "status" not in r5.to_r4({**standing(), "progress": progress})


# -------------------------------------------------------------------------- a person's hand

TOUCHED = {
    "a second open entry": lambda one: one["progress"].append(entry("screening")),
    "an ended entry": lambda one: one["progress"].append(entry("screening", **ENDED)),
    "a reason": lambda one: one["progress"][0].update(reason={"text": "seen"}),
    "an end": lambda one: one["progress"][0].update(endDate="2026-01-01"),
    "a milestone": lambda one: one["progress"].append({"milestone": [{"text": "seen"}]}),
    "words on the state": lambda one: one["progress"][0]["subjectState"].update(text="seen"),
    "retired": lambda one: one.update(status="retired"),
    "a comparison group": lambda one: one.update(assignedComparisonGroup="a"),
    "a consent": lambda one: one.update(consent=[{"reference": "Consent/1"}]),
    "another state": lambda one: one.update(progress=[entry("eligible")]),
}


def expected(sent: dict[str, Any]) -> Expected:
    return Expected(
        key="k",
        system=sent["identifier"][0]["system"],
        patients=frozenset(("1",)),
        study="ResearchStudy/1",
        statuses=frozenset(("candidate",)),
        sent=sent,
    )


def test_our_own_proposal_is_untouched() -> None:
    sent = ours("candidate")
    assert not expected(sent).touch(r5.to_r4(r5.to_r5(sent)))


@pytest.mark.parametrize("name", TOUCHED)
def test_whatever_a_person_does_in_r5_is_seen(name: str) -> None:
    sent = ours("candidate")
    told = r5.to_r5(sent)
    TOUCHED[name](told)
    assert expected(sent).touch(r5.to_r4(told))


def test_a_persons_progress_is_never_written_over() -> None:
    found = r5.to_r4(standing(entry("screening", reason={"text": "a person's"})))
    with pytest.raises(InternalFault):
        r5.to_r5({**found, "status": "ineligible"})


def test_a_subject_without_a_state_is_not_written() -> None:
    with pytest.raises(InternalFault):
        r5.to_r5({"resourceType": "ResearchSubject", "study": {}, "individual": {}})
