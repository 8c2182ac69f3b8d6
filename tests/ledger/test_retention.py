"""Values go after their time; who was forgotten stays refused; who saw what is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fhir_adapter.errors import SettingInvalid
from fhir_adapter.ledger import Basis, Judged, Ledger, unpacked
from fhir_adapter.model.dates import instant
from fhir_adapter.model.decision import Decision, Outcome
from fhir_adapter.model.fact import Fact, Kind, PatientRecord
from fhir_adapter.model.vocabulary import YES, question_code
from tests.ledger.conftest import Place, StandingClock
from tests.writeback.proposals import propose

DECISION = Decision(patient="p", study="s", study_version="1", as_of=1, outcome=Outcome.CANDIDATE)
RECORD = PatientRecord(
    patient="p", facts=(Fact(patient="p", kind=Kind.PATIENT, source="Patient/p"),), retrieved=()
)
BASIS = Basis(mappings="m", engine="0", facts_schema=1, basis=True, declined=False, opted_out=False)


def record(ledger: Ledger, run: str, *, listed: bool = True, proposed: bool = False) -> None:
    made = replace(propose(), patient="p", key=run) if proposed else None
    judged = Judged(record=RECORD, on=BASIS)
    assert ledger.record_decision(DECISION, run=run, listed=listed, judged=judged, proposal=made)


def everything(ledger: Ledger) -> None:
    """A row about p wherever there can be one."""
    record(ledger, "r", proposed=True)
    ledger.decline(patients=["p"], study="s", who="n", role="coordinator")
    ledger.add_answer(
        patient="p", study="s", question=question_code("s", "q"), value=YES, who="n", role="r"
    )
    ledger.remember_subject(
        key="k", patient="p", study="s", reference="ResearchSubject/1", status="candidate",
        fingerprint="o", state="proposed",
    )  # fmt: skip
    ledger.audit(who="n", what="read", patient="p", purpose="CLINTRCH")
    ledger.changed.mark_changed("p", "poll", 1)


def test_a_record_is_kept_once_and_comes_back_whole(ledger: Ledger) -> None:
    record(ledger, "r1")
    record(ledger, "r2")
    assert ledger.status().inputs == 1
    stored = ledger.last_decision("p", "s")
    assert stored is not None
    assert stored.record is not None
    assert unpacked(stored.record) == RECORD
    assert stored.on == BASIS


def test_the_record_of_somebody_who_is_not_listed_is_not_kept(ledger: Ledger) -> None:
    record(ledger, "r1", listed=False)
    assert ledger.status().inputs == 0
    stored = ledger.last_decision("p", "s")
    assert stored is not None
    assert (stored.body, stored.record, stored.on) == (None, None, BASIS)


def test_a_purge_takes_values_whose_time_is_over_and_leaves_the_row(
    ledger: Ledger, clock: StandingClock
) -> None:
    record(ledger, "old")
    clock.wait(days=10)
    record(ledger, "new")
    clock.wait(days=1)
    before = instant(clock.now()) - 5 * 86_400_000_000
    dry = ledger.retention.purge(before, write=False)
    assert (dry.decisions, dry.inputs) == (1, 0), "the record is still that of a younger one"
    assert ledger.status().listed == 2
    assert ledger.retention.purge(before, write=True) == dry
    assert ledger.retention.purge(before, write=True).decisions == 0
    kept = [one.body is not None for one in ledger.decisions.stored()]
    assert kept == [False, True]
    assert ledger.status().inputs == 1
    gone = ledger.retention.purge(instant(clock.now()), write=True)
    assert (gone.decisions, gone.inputs) == (1, 1)


def test_a_purge_takes_what_is_done_and_what_nobody_could_send(
    ledger: Ledger, clock: StandingClock
) -> None:
    record(ledger, "r1", proposed=True)
    record(ledger, "r2", proposed=True)
    assert ledger.outbox.done(ledger.outbox.take("w")[0])
    clock.wait(days=1)
    record(ledger, "r3", proposed=True)
    found = ledger.retention.purge(instant(clock.now()) - 1, write=True)
    assert found.outbox == 2
    assert ledger.outbox.counts().waiting == 1


def test_forgetting_counts_first(ledger: Ledger) -> None:
    everything(ledger)
    found = dict(ledger.retention.forget(["p"], who="me", write=False))
    assert found == {
        "decisions": 1, "inputs": 1, "answers": 1, "changed": 1, "outbox": 1, "declines": 1,
        "subjects": 1, "audit": 1,
    }  # fmt: skip
    assert ledger.declined("s", ["p"]) == {"p"}
    assert ledger.status().decisions == 1


def test_who_was_forgotten_is_in_no_row_and_still_has_declined(
    ledger: Ledger, place: Place
) -> None:
    everything(ledger)
    ledger.retention.forget(["p"], who="me", write=True)
    for table in ("decisions", "inputs", "answers", "changed", "outbox"):
        assert place.execute(f"SELECT count(*) FROM {table}")[0][0] == 0
    for table in ("declines", "subjects", "audit"):
        names = {row[0] for row in place.execute(f"SELECT patient FROM {table}")}
        assert {name[0] for name in names} == {"#"}
    assert ledger.declined("s", ["p", "q"]) == {"p"}
    assert ledger.alerts.remembered(["p"], "").declined == {"s"}
    (subject,) = ledger.subjects_of("s", ["p"])
    assert (subject.patient, subject.key) == ("p", "k"), "so that the key comes out the same"
    assert ledger.proposed("s") == frozenset()
    assert len(ledger.subjects_in("s")) == 1


def test_who_was_forgotten_may_come_again_and_be_forgotten_again(ledger: Ledger) -> None:
    for _ in range(2):
        ledger.decline(patients=["p"], study="s", who="n", role="coordinator")
        ledger.retention.forget(["p"], who="me", write=True)
    assert ledger.status().declines == 1


def test_without_the_key_nobody_can_be_forgotten_and_no_refusal_is_overlooked(
    ledger: Ledger, place: Place, clock: StandingClock
) -> None:
    bare = place.open(clock, site_key="")
    everything(bare)
    assert bare.declined("s", ["p"]) == {"p"}
    with pytest.raises(SettingInvalid, match="site_key"):
        bare.retention.forget(["p"], who="me", write=True)
    ledger.retention.forget(["p"], who="me", write=True)
    with pytest.raises(SettingInvalid, match="known by it only"):
        bare.declined("s", ["p"])
    assert bare.declined("s", []) == frozenset()
    bare.close()


def test_the_report_says_who_read_and_what_is_kept_and_is_recorded_itself(
    ledger: Ledger,
) -> None:
    everything(ledger)
    first = ledger.retention.access_report(["p"], who="me")
    assert [(one.who, one.what) for one in first.accesses] == [("n", "read")]
    assert (first.values, first.forgotten) == (1, False)
    second = ledger.retention.access_report(["p"], who="me")
    assert [one.what for one in second.accesses] == ["read", "access-report"]


def test_the_report_finds_who_was_forgotten_and_brings_no_id_back(
    ledger: Ledger, place: Place
) -> None:
    everything(ledger)
    ledger.retention.forget(["p"], who="me", write=True)
    found = ledger.retention.access_report(["p"], who="me")
    assert [one.what for one in found.accesses] == ["read", "forget"]
    assert found.forgotten
    assert dict(found.held).keys() == {"declines", "subjects", "audit"}
    assert "p" not in {row[0] for row in place.execute("SELECT patient FROM audit")}


def test_a_cursor_is_kept_by_name(ledger: Ledger) -> None:
    assert ledger.cursor("poll") is None
    ledger.set_cursor("poll", "2026-11-01T00:00:00Z")
    ledger.set_cursor("poll", "2026-11-02T00:00:00Z")
    assert ledger.cursor("poll") == "2026-11-02T00:00:00Z"
    assert ledger.cursor("other") is None
