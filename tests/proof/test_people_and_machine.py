"""People and machine write at once, requests fail, processes die: nothing is lost or doubled.

A state machine draws events; after each one the invariants of ``World.check`` hold, and when the
faults are over those of ``check_settled``; everybody read again then writes nothing.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from proof.in_process import Sandbox, is_create_of
from proof.world import AGAINST, FITS, PERSON, STUDY, UNCLEAR, World

from fhir_adapter.sandbox import HAPI, TIDY, Habits

import fault_proxy as faults
from small_study import write_small_study

pytestmark = pytest.mark.timeout(1800)
PATIENT = st.sampled_from(("p0", "p1", "p2"))
COUNTED = Counter[str]()
"""Events, kills, settlings with their replays, and the machine's requests."""
FAULTS = (
    lambda: faults.throttled(429, "1"),
    lambda: faults.throttled_until(1, 503),
    faults.cut_body,
    faults.cut_after_commit,
    faults.cut_before_commit,
    lambda: faults.error_after_commit(500),
    faults.duplicated,
    faults.reordered,
    faults.repeated_entry,
    lambda: faults.html(200),
    lambda: faults.html(502),
    faults.unauthorized,
)


_SELDOM = 12
"""Events between two settlings: these are most of the work."""


@cache
def _study() -> str:
    """One for all examples: it is compiled once."""
    return str(write_small_study(Path(tempfile.mkdtemp()) / "study"))


class PeopleAndMachine(RuleBasedStateMachine):
    """Events in any order."""

    reach = Sandbox
    """The hospital; a subclass has another."""
    _since_quiet = 0
    _merges = False

    @initialize(habits=st.sampled_from((TIDY, HAPI)), merges=st.booleans())
    def begin(self, habits: Habits, *, merges: bool) -> None:
        """By the book, or as HAPI; with merges, or with more that holds for each patient alone."""
        self._merges = merges
        self._folder = tempfile.TemporaryDirectory()
        reach = partial(Sandbox, habits=habits) if self.reach is Sandbox else self.reach
        self.world = World(folder=Path(self._folder.name), study=_study(), reach=reach)

    @rule(patient=PATIENT, born=st.sampled_from((FITS, FITS, AGAINST, UNCLEAR)))
    def record_changes(self, patient: str, born: str) -> None:
        self._count()
        self.world.change_patient(patient, birthDate=born)

    @rule(patient=PATIENT, dead=st.booleans())
    def dies_or_was_an_error(self, patient: str, *, dead: bool) -> None:
        self._count()
        self.world.change_patient(patient, deceasedBoolean=dead)

    @rule(patient=PATIENT, out=st.booleans())
    def opts_out_or_in(self, patient: str, *, out: bool) -> None:
        self._count()
        self.world.opt_out(patient, out=out)

    @rule(patient=PATIENT)
    def something_else_is_measured(self, patient: str) -> None:
        self._count()
        code = {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]}
        subject = {"reference": f"Patient/{patient}"}
        self.world.server.store.create(
            {"resourceType": "Observation", "status": "final", "code": code, "subject": subject}
        )

    @rule(
        patient=PATIENT,
        status=st.sampled_from(("screening", "eligible", "ineligible", "withdrawn")),
        says=st.booleans(),
    )
    def a_person_moves_it_on(self, patient: str, status: str, *, says: bool) -> None:
        """With our mark of who set it, or without."""
        self._count()
        self.world.person_changes(patient, status=status, _status=PERSON if says else None)

    @rule(patient=PATIENT)
    def a_person_enters_a_period(self, patient: str) -> None:
        self._count()
        self.world.person_changes(patient, period={"start": "2026-11-22"})

    @rule(
        patient=PATIENT,
        closed=st.sampled_from(("ineligible", "withdrawn")),
        status=st.sampled_from(("candidate", "screening", "eligible")),
        says=st.booleans(),
    )
    def a_person_closes_it_and_opens_the_next_attempt(
        self, patient: str, closed: str, status: str, *, says: bool
    ) -> None:
        """A second ResearchSubject of the pair, of people from the first."""
        self._count()
        self.world.person_changes(patient, status=closed, _status=PERSON)
        opened = self.world.person_opens_again(
            patient, status=status, **({"_status": PERSON} if says else {})
        )
        COUNTED["attempts opened"] += opened

    @rule(patient=PATIENT)
    def a_person_deletes_it(self, patient: str) -> None:
        self._count()
        self.world.person_deletes(patient)

    @rule(patient=PATIENT)
    def a_patient_declines(self, patient: str) -> None:
        self._count()
        self.world.declined.add(patient)
        with self.world.ledger() as ledger:
            ledger.decline(patients=[patient], study=STUDY, who="A. Nurse", role="coordinator")

    @rule(old=PATIENT, new=PATIENT, both=st.booleans())
    def two_records_are_merged(self, old: str, new: str, *, both: bool) -> None:
        """Each names the other, or only the replaced one does; again and again, in circles too."""
        self._count()
        if old != new and self._merges:
            self.world.merge(old, new, both=both)

    @rule()
    def the_merges_are_undone(self) -> None:
        """Every record is touched, as a master index does."""
        self._count()
        for one in sorted(self.world.merged):
            self.world.change_patient(one, link=None)

    @rule(which=st.integers(0, len(FAULTS) - 1), times=st.integers(1, 3), after=st.integers(0, 40))
    def the_server_fails(self, which: int, times: int, after: int) -> None:
        self._count()
        self.world.proxy.arm(FAULTS[which](), times=times, after=after)

    @rule()
    def the_server_is_well_again(self) -> None:
        self._count()
        self.world.proxy.disarm()

    @rule()
    def the_machine_works(self) -> None:
        self._count()
        self.world.run()

    @rule(at=st.integers(0, 160))
    def the_machine_is_killed(self, at: int) -> None:
        """Before a request reaches the server, or before its answer reaches us."""
        self._count()
        self.world.proxy.kill_at = at
        self.world.run()

    @rule(
        patient=PATIENT,
        born=st.sampled_from((AGAINST, FITS)),
        act=st.sampled_from(("moves it on", "enters a period", "deletes it")),
    )
    def a_person_acts_while_the_machine_writes(self, patient: str, born: str, act: str) -> None:
        """In the second between its last look at what stands and its write."""
        self._count()
        self.world.change_patient(patient, birthDate=born)

        def acts() -> None:
            if act == "deletes it":
                self.world.person_deletes(patient)
            elif act == "moves it on":
                self.world.person_changes(patient, status="screening", _status=PERSON)
            else:
                self.world.person_changes(patient, period={"start": "2026-11-22"})

        self.world.proxy.meanwhile = (lambda one: self.world.changes(one, patient), acts)
        self.world.run()

    @rule(patient=PATIENT, deletes=st.booleans())
    def the_machine_dies_on_a_create_and_a_person_acts(
        self, patient: str, *, deletes: bool
    ) -> None:
        """Before the ledger has heard that it stands."""
        self._count()
        self.world.proxy.dies_after = lambda one: is_create_of(one, "ResearchSubject")
        self.world.run()
        if deletes:
            self.world.person_deletes(patient)
        else:
            self.world.person_changes(patient, status="withdrawn", _status=PERSON)

    @rule(patient=PATIENT, born=st.sampled_from((FITS, UNCLEAR)))
    def the_machine_dies_on_a_take_back(self, patient: str, born: str) -> None:
        """Its own new status is no person's word: whoever fits again is proposed again."""
        self._count()
        self.world.change_patient(patient, birthDate=AGAINST)
        self.world.proxy.dies_after = lambda one: self.world.changes(one, patient)
        self.world.run()
        self.world.change_patient(patient, birthDate=born)

    @rule()
    def the_machine_is_started_anew(self) -> None:
        self._count()
        self.world.stop()

    @precondition(lambda self: self._since_quiet > _SELDOM)
    @rule()
    def all_is_quiet(self) -> None:
        self._count()
        self._since_quiet = 0
        self._settles()

    def _settles(self) -> None:
        COUNTED["settlings"] += 1
        self.world.settle()
        self.world.check_settled()
        assert self.world.everybody_again() == 0, "a replay writes nothing"

    @invariant()
    def nothing_is_doubled_or_overwritten(self) -> None:
        if hasattr(self, "world"):
            self.world.check()

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            self._settles()
        finally:
            COUNTED["kills"] += self.world.kills
            COUNTED["requests"] += self.world.proxy.requests
            self.world.stop()
            self.world.server.close()
            self._folder.cleanup()

    def _count(self) -> None:
        COUNTED["events"] += 1
        self._since_quiet += 1


_PATIENCE = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)
_STEPS = 50


def run(
    events: int, number: int, machine: type[PeopleAndMachine] = PeopleAndMachine
) -> Counter[str]:
    """About so many events, by machines of fifty each; the same number draws the same ones.

    Half as many again are drawn: some find nothing to do, and do not count.
    """
    drawn = settings(
        max_examples=1 + -(-events * 3 // (2 * _STEPS)),  # the first one has no events
        stateful_step_count=_STEPS,
        deadline=None,
        database=None,
        phases=(Phase.generate,),  # the events as drawn: shrinking hundreds of them takes an hour
        suppress_health_check=_PATIENCE,
    )
    before = COUNTED.copy()
    run_state_machine_as_test(seed(number)(machine), settings=drawn)
    found = COUNTED - before
    assert found["events"] >= events * 2 // 3
    assert found["kills"] > 0, "no process was ever killed: the proof has proved little"
    return found


def told(found: Counter[str]) -> str:
    """The figures of a run, all of which ended as they should."""
    return ", ".join(f"{count:,} {what}" for what, count in sorted(found.items()))


@pytest.mark.slow
def test_nothing_is_lost_doubled_or_overwritten() -> None:
    run(events=150, number=0)


@pytest.mark.deep
@pytest.mark.parametrize("number", [1, 2])
def test_ten_thousand_events(number: int, record_property: Callable[[str, object], None]) -> None:
    """Half of them each, so that two workers share them; PROOF_SEED draws others."""
    drawn = number + int(os.environ.get("PROOF_SEED", "0"))
    half = int(os.environ.get("PROOF_EVENTS", "10000")) // 2
    found = run(events=half, number=drawn)
    assert found["events"] >= half
    record_property("people and machine", f"sandbox, seed {drawn}: {told(found)}")
