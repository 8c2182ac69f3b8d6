"""First match wins: gates, lasting, passing, needs-data, candidate; and what stands beside."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fhir_adapter.decide import decide, standing_of, stops_of
from fhir_adapter.decide.standing import StudyStanding
from fhir_adapter.model import criterion as tree
from fhir_adapter.model.code import Code
from fhir_adapter.model.dates import ANY_TIME
from fhir_adapter.model.decision import Decision, Outcome, Stop
from fhir_adapter.model.fact import Fact, Kind, Standing
from fhir_adapter.model.result import CriterionResult, Effect, Open, Verdict
from fhir_adapter.model.study import Gate, Pair, Question, Study
from fhir_adapter.model.truth import Reason, Truth
from fhir_adapter.model.vocabulary import (
    DECEASED,
    PARTICIPATION,
    RESEARCH_DENY,
    RESEARCH_PERMIT,
)

import worlds
from facts_for_tests import AS_OF, fact, record

HOLD, LIST = Gate(if_open="hold"), Gate(if_open="list")
TRUTHS = {
    Effect.FITS: (Truth.TRUE, Verdict.MET),
    Effect.AGAINST: (Truth.FALSE, Verdict.NOT_MET),
    Effect.OPEN: (Truth.UNKNOWN, Verdict.UNKNOWN),
    Effect.NOT_APPLICABLE: (Truth.TRUE, Verdict.MET),
}


def study(*gates: Any, pairs: tuple[Pair, ...] = (), watch: str = "the value") -> Study:
    made = worlds.study_of(*(tree.Alive() for _ in gates))
    criteria = tuple(
        msgspec.structs.replace(c, gate=gate, watch=watch, question=c.id)
        for c, gate in zip(made.criteria, gates, strict=True)
    )
    questions = tuple(Question(id=c.id, text=f"{c.id}?", who="coordinator") for c in criteria)
    return msgspec.structs.replace(made, criteria=criteria, pairs=pairs, questions=questions)


def result(number: int, effect: Effect, gate: Any = "none", **more: Any) -> CriterionResult:
    truth, verdict = TRUTHS[effect]
    fields: dict[str, Any] = {
        "criterion": f"C{number}", "truth": truth, "verdict": verdict, "effect": effect,
        "reason": None, "evidence": (), "gate": gate != "none",
    }  # fmt: skip
    if effect is Effect.OPEN:
        reason = more.get("reason", Reason.NEVER_RECORDED)
        fields |= {
            "reason": reason, "settled": "record", "question": f"C{number}",
            "opens": (Open(reason),),
        }  # fmt: skip
    return CriterionResult(**{**fields, **more})


def decided(of: Study, *results: CriterionResult, **more: Any) -> Decision:
    given: dict[str, Any] = {
        "pointers": (), "pairs": (), "stops": (), "standing": StudyStanding(),
        "next_date": None, "study_hash": "s", "basis_hash": "b",
    }  # fmt: skip
    return decide(of, patient="p", as_of=AS_OF, results=results, **{**given, **more})


OUTCOMES: dict[str, tuple[list[tuple[Effect, Any, dict[str, Any]]], Outcome]] = {
    "all fit": ([(Effect.FITS, HOLD, {}), (Effect.NOT_APPLICABLE, "none", {})], Outcome.CANDIDATE),
    "a gate against": ([(Effect.AGAINST, LIST, {"lasting": True})], Outcome.NOT_PROPOSED),
    "an open gate that holds": ([(Effect.OPEN, HOLD, {})], Outcome.NOT_PROPOSED),
    "an open gate that lists": ([(Effect.OPEN, LIST, {})], Outcome.NEEDS_DATA),
    "an open gate excepted by reason": (
        [(Effect.OPEN, Gate(if_open="hold", list_when=("stale",)), {"reason": Reason.STALE})],
        Outcome.NEEDS_DATA,
    ),
    "an open gate excepted by question": (
        [
            (
                Effect.OPEN,
                Gate(if_open="hold", list_when=("ask-them",)),
                {
                    "reason": Reason.NEEDS_HUMAN,
                    "opens": (Open(Reason.NEEDS_HUMAN, "ask-them"),),
                },
            )
        ],
        Outcome.NEEDS_DATA,
    ),
    "lasting against": ([(Effect.AGAINST, "none", {"lasting": True})], Outcome.NOT_ELIGIBLE),
    "lasting beats passing": (
        [(Effect.AGAINST, "none", {}), (Effect.AGAINST, "none", {"lasting": True})],
        Outcome.NOT_ELIGIBLE,
    ),
    "passing against": (
        [(Effect.AGAINST, "none", {}), (Effect.OPEN, "none", {})],
        Outcome.NOT_NOW,
    ),
    "open before contact": ([(Effect.OPEN, "none", {"settled": "bedside"})], Outcome.NEEDS_DATA),
    "open at the visit": (
        [(Effect.OPEN, "none", {"settled": "consent-visit"})],
        Outcome.CANDIDATE,
    ),
}


@pytest.mark.parametrize("name", OUTCOMES)
def test_the_first_that_applies_is_the_outcome(name: str) -> None:
    rows, expected = OUTCOMES[name]
    of = study(*(gate for _, gate, _ in rows))
    results = [result(n, effect, gate, **more) for n, (effect, gate, more) in enumerate(rows, 1)]
    assert decided(of, *results).outcome is expected


def test_stops_come_before_everything() -> None:
    found = decided(study("none"), result(1, Effect.FITS), stops=(Stop.DECEASED,), next_date=7)
    assert found.outcome is Outcome.NOT_SCREENED
    assert found.results == ()
    assert found.next_date is None


def test_not_now_says_what_to_watch_and_until_when() -> None:
    of = study("none", "none")
    open_end = decided(of, result(1, Effect.AGAINST), result(2, Effect.AGAINST, until=9))
    assert open_end.watching == ("C1",)
    assert open_end.until is None
    assert [check.text for check in open_end.checks] == ["the value"]
    dated = decided(of, result(1, Effect.AGAINST, until=5), result(2, Effect.AGAINST, until=9))
    assert dated.until == 9
    assert dated.next_date == 10


def test_a_shut_gate_with_an_end_opens_the_day_after() -> None:
    of = study(HOLD)
    assert decided(of, result(1, Effect.AGAINST, HOLD, until=9)).next_date == 10
    assert decided(of, result(1, Effect.AGAINST, HOLD), next_date=4).next_date == 4


def test_checks_come_gates_first_then_by_where_they_are_settled() -> None:
    of = study("none", "none", LIST)
    found = decided(
        of,
        result(1, Effect.OPEN, settled="consent-visit"),
        result(2, Effect.OPEN),
        result(3, Effect.OPEN, LIST, settled="bedside"),
    )
    assert [check.question for check in found.checks] == ["C3", "C2", "C1"]


def test_where_a_gate_is_against_nothing_is_asked() -> None:
    of = study(HOLD, HOLD, "none")
    shut = (result(1, Effect.AGAINST, HOLD), result(2, Effect.OPEN, HOLD), result(3, Effect.OPEN))
    assert decided(of, *shut).checks == ()
    open_ = (result(1, Effect.FITS, HOLD), result(2, Effect.OPEN, HOLD), result(3, Effect.OPEN))
    assert [check.question for check in decided(of, *open_).checks] == ["C2"]


def test_not_eligible_asks_nothing() -> None:
    found = decided(
        study("none", "none"), result(1, Effect.AGAINST, lasting=True), result(2, Effect.OPEN)
    )
    assert found.checks == ()


def test_one_question_for_criteria_that_it_settles_together() -> None:
    of = study("none", "none")
    both = (result(1, Effect.OPEN, question="C1"), result(2, Effect.OPEN, question="C1"))
    assert [check.criteria for check in decided(of, *both).checks] == [("C1", "C2")]


def test_a_pair_is_asked_in_one_question_where_the_first_is_settled() -> None:
    pair = Pair(id="P", criteria=("C1", "C3"), when=tree.Alive(), note="n", question="C2")
    of = study("none", "none", "none", pairs=(pair,))
    results = (
        result(1, Effect.OPEN, settled="bedside"),
        result(2, Effect.OPEN),
        result(3, Effect.OPEN),
    )
    checks = decided(of, *results, pairs=("P",)).checks
    assert [(check.criteria, check.question) for check in checks] == [
        (("C3", "C1"), "C2"),
        (("C2",), "C2"),
    ]
    assert decided(of, result(2, Effect.OPEN), pairs=("P",)).checks[0].criteria == ("C2",)


def test_rank_counts_pointers_then_inclusions_that_fit_from_data() -> None:
    of = study("none", "none", "none")
    found = decided(
        of,
        result(1, Effect.FITS),
        result(2, Effect.FITS, assumed=True),
        result(3, Effect.OPEN),
        pointers=("x",),
    )
    assert found.rank == (-1, -1, 1)
    assert found.assumed == 1
    assert not found.labs_only


def test_needs_data_without_a_pointer_is_labs_only() -> None:
    assert decided(study("none"), result(1, Effect.OPEN)).labs_only


def test_a_decline_withholds_and_a_closed_attempt_asks_for_a_rescreen() -> None:
    found = decided(
        study("none"), result(1, Effect.FITS), standing=StudyStanding(declined=True, closed=True)
    )
    assert found.withheld
    assert found.rescreen


def test_the_fingerprint_of_the_outcome_hangs_on_no_text() -> None:
    one = decided(study("none", watch="a"), result(1, Effect.FITS, notes=("x",)))
    two = decided(study("none", watch="b"), result(1, Effect.FITS))
    assert one.hashes is not None
    assert two.hashes is not None
    assert len(one.hashes.outcome) == 64


# ---------------------------------------------------------------------- stops and standing


def stops(*facts: Fact, **more: Any) -> tuple[Stop, ...]:
    given = {"basis": True, "on_study": False, "opted_out": False, "silence_refuses": False}
    return stops_of(record(*facts), as_of=AS_OF, **{**given, **more})


def consent(code: Code, when: str, **more: Any) -> Fact:
    return fact(Kind.CONSENT, code, when, end="running", **more)


def test_death_counts_from_the_day_on_which_it_is_known() -> None:
    assert stops(fact(Kind.PATIENT, DECEASED, "2026-11-01")) == (Stop.DECEASED,)
    assert stops(fact(Kind.PATIENT, DECEASED, "2026-12-01")) == ()


def test_the_newest_consent_in_force_speaks_and_a_tie_refuses() -> None:
    deny, permit = consent(RESEARCH_DENY, "2026-01-01"), consent(RESEARCH_PERMIT, "2026-02-01")
    assert stops(deny) == (Stop.OPTED_OUT,)
    assert stops(deny, permit) == ()
    assert stops(permit, consent(RESEARCH_DENY, "2026-02-01")) == (Stop.OPTED_OUT,)
    ignored = consent(RESEARCH_DENY, "2026-03-01", standing=Standing.IGNORED)
    assert stops(permit, ignored) == ()


@pytest.mark.parametrize(("permitted", "lifts"), [("2026-04", True), ("2026-03", False)])
def test_only_a_permission_that_is_certainly_newer_lifts_a_refusal(
    permitted: str, *, lifts: bool
) -> None:
    """That of a month may have been given before the refusal in it."""
    given = (consent(RESEARCH_DENY, "2026-03-15"), consent(RESEARCH_PERMIT, permitted))
    assert stops(*given) == (() if lifts else (Stop.OPTED_OUT,))


def test_a_permission_without_a_date_lifts_no_refusal_with_one() -> None:
    permit = msgspec.structs.replace(
        consent(RESEARCH_PERMIT, "2026-03-15"),
        start_lo=ANY_TIME.lo, start_hi=ANY_TIME.hi, known_from=ANY_TIME.lo,
    )  # fmt: skip
    assert stops(consent(RESEARCH_DENY, "2026-01-01"), permit) == (Stop.OPTED_OUT,)
    assert stops(permit) == ()


def test_silence_refuses_only_where_the_site_says_so() -> None:
    assert stops() == ()
    assert stops(silence_refuses=True) == (Stop.OPTED_OUT,)


def test_stops_from_elsewhere_come_in_their_order() -> None:
    found = stops(basis=False, on_study=True, opted_out=True)
    assert found == (Stop.OPTED_OUT, Stop.NO_BASIS, Stop.ON_STUDY)


def participation(status: str, *, who: str = "person", study_: str = "ours", when: str) -> Fact:
    code = Code(PARTICIPATION, status)
    return fact(Kind.STUDY_PARTICIPATION, code, when, study=study_, set_by=who)


def test_only_what_people_entered_about_this_study_counts() -> None:
    facts = (
        participation("on-study", who="machine", when="2026-01-01"),
        participation("on-study", study_="theirs", when="2026-01-01"),
        participation("on-study", when="2027-01-01"),
        participation("screening", when="2026-02-01"),
        participation("eligible", when="2026-01-01"),
    )
    found = standing_of(record(*facts), ("ours",), as_of=AS_OF)
    assert found == StudyStanding(statuses=("eligible", "screening"))


@pytest.mark.parametrize(
    ("status", "field"),
    [("follow-up", "on_study"), ("withdrawn", "declined"), ("ineligible", "closed")],
)
def test_statuses_of_people_say_where_the_patient_stands(status: str, field: str) -> None:
    one = participation(status, when="2026-01-01")
    assert getattr(standing_of(record(one), ("ours",), as_of=AS_OF), field)


@pytest.mark.parametrize("opened", ["candidate", "screening", "on-study", "off-study"])
def test_who_has_the_next_attempt_open_is_not_asked_to_be_screened_again(opened: str) -> None:
    """Undated or older as it may be: it stands open, a person works on it."""
    facts = participation("ineligible", when="2026-02-01"), participation(opened, when="2026-01-01")
    assert not standing_of(record(*facts), ("ours",), as_of=AS_OF).closed


def test_a_decline_holds_beside_an_attempt_that_is_open() -> None:
    facts = (
        participation("withdrawn", when="2026-01-01"),
        participation("screening", when="2026-02-01"),
    )
    assert standing_of(record(*facts), ("ours",), as_of=AS_OF).declined


def test_an_entry_of_a_person_without_a_known_state_is_unclear() -> None:
    told = participation("screening", when="2026-01-01")
    untold = [
        msgspec.structs.replace(told, concepts=(), set_by=who, study=study_)
        for who, study_ in (("person", "ours"), ("machine", "ours"), ("person", "theirs"))
    ]
    found = [standing_of(record(one), ("ours",), as_of=AS_OF).unclear for one in (told, *untold)]
    assert found == [False, True, False, False]


def test_a_decline_known_from_the_ledger_holds() -> None:
    assert standing_of(record(), ("ours",), as_of=AS_OF, declined=True).declined
