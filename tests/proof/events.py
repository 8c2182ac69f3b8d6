"""What may happen, in any order: people, the record, the server and the machine.

What finds nothing to do is no event and is not counted.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from proof.drawn_faults import FAULTS
from proof.in_process import Sandbox, is_create_of
from proof.right import AGAINST, FITS, UNCLEAR, survivors
from proof.world import PERSON, World

from fhir_adapter.sandbox import HAPI, TIDY, Habits

from small_study import write_small_study

COUNTED = Counter[str]()
"""Events, kills, settlings with their replays, who was checked in them, the machine's requests."""
WHO = st.integers(0, 59)
"""Which of the patients for whom it can be done."""
_SMALL_PAGES = replace(HAPI, max_page=5)
_SELDOM = 10
"""Events between two settlings: these are most of the work."""
_MOST = 4
"""Patients of one world."""


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

    @initialize(
        habits=st.sampled_from((TIDY, HAPI, TIDY, HAPI, _SMALL_PAGES)), merges=st.booleans()
    )
    def begin(self, habits: Habits, *, merges: bool) -> None:
        """By the book, as HAPI, or in small pages; with merges, or with more held for each."""
        self._merges = merges
        self._folder = tempfile.TemporaryDirectory()
        reach = partial(Sandbox, habits=habits) if self.reach is Sandbox else self.reach
        self.world = World(folder=Path(self._folder.name), study=_study(), reach=reach)

    # -- the record ------------------------------------------------------------------------------

    @rule(who=WHO, born=st.sampled_from((FITS, FITS, AGAINST, UNCLEAR)))
    def record_changes(self, who: int, born: str) -> None:
        self._count(self.world.change_patient(self._any(who), birthDate=born))

    @rule(who=WHO, dead=st.booleans())
    def dies_or_was_an_error(self, who: int, *, dead: bool) -> None:
        self._count(self.world.change_patient(self._any(who), deceasedBoolean=dead))

    @rule(who=WHO, out=st.booleans())
    def opts_out_or_in(self, who: int, *, out: bool) -> None:
        self._count(self.world.opt_out(self._any(who), out=out))

    @rule(who=WHO)
    def something_else_is_measured(self, who: int) -> None:
        code = {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]}
        subject = {"reference": f"Patient/{self._any(who)}"}
        self.world.server.store.create(
            {"resourceType": "Observation", "status": "final", "code": code, "subject": subject}
        )
        self._count()

    @precondition(lambda self: len(self.world.patients) < _MOST)
    @rule()
    def somebody_new_comes(self) -> None:
        self.world.arrives(f"p{len(self.world.patients)}")
        self._count()

    @precondition(lambda self: self._merges)
    @rule(old=WHO, new=WHO, both=st.booleans())
    def two_records_are_merged(self, old: int, new: int, *, both: bool) -> None:
        """Each names the other, or only the replaced one does; again and again, in circles too.

        One record has one survivor: of two, each would be judged by its own Patient in turn.
        """
        one, other = self._any(old), self._any(new)
        if one != other and survivors(self.world, one) <= {other}:
            self.world.merge(one, other, both=both)
            self._count()

    @precondition(lambda self: self.world.merged)
    @rule()
    def the_merges_are_undone(self) -> None:
        self._count(self.world.unmerge())

    # -- people ----------------------------------------------------------------------------------

    @precondition(lambda self: self._standing())
    @rule(
        who=WHO,
        status=st.sampled_from(("screening", "eligible", "ineligible", "withdrawn")),
        says=st.booleans(),
    )
    def a_person_moves_it_on(self, who: int, status: str, *, says: bool) -> None:
        """With our mark of who set it, or without."""
        mark = PERSON if says else None
        self._count(self.world.person_changes(self._one(who), status=status, _status=mark))

    @precondition(lambda self: self._standing())
    @rule(who=WHO)
    def a_person_enters_a_period(self, who: int) -> None:
        self._count(self.world.person_changes(self._one(who), period={"start": "2026-11-22"}))

    @precondition(lambda self: self._standing())
    @rule(who=WHO, number=st.integers(0, 9), narrative=st.booleans())
    def a_person_writes_a_note(self, who: int, number: int, *, narrative: bool) -> None:
        note = f"called, {number}"
        noted = self.world.person_notes(self._one(who), note, narrative=narrative)
        COUNTED["notes of people"] += noted
        self._count(noted)

    @precondition(lambda self: self._standing())
    @rule(
        who=WHO,
        closed=st.sampled_from(("ineligible", "withdrawn")),
        status=st.sampled_from(("candidate", "screening", "eligible")),
        says=st.booleans(),
    )
    def a_person_closes_it_and_opens_the_next_attempt(
        self, who: int, closed: str, status: str, *, says: bool
    ) -> None:
        """A second ResearchSubject of the pair, of people from the first."""
        patient = self._one(who)
        done = self.world.person_changes(patient, status=closed, _status=PERSON)
        opened = self.world.person_opens_again(
            patient, status=status, **({"_status": PERSON} if says else {})
        )
        COUNTED["attempts opened"] += opened
        self._count(done or opened)

    @precondition(lambda self: self._standing())
    @rule(who=WHO)
    def a_person_deletes_it(self, who: int) -> None:
        self._count(self.world.person_deletes(self._one(who)))

    @precondition(lambda self: len(self.world.memory.declined) < len(self.world.patients))
    @rule(who=WHO)
    def a_patient_declines(self, who: int) -> None:
        self._count(self.world.decline(self._any(who)))

    # -- the server ------------------------------------------------------------------------------

    @rule(which=st.integers(0, len(FAULTS) - 1), times=st.integers(1, 3), after=st.integers(0, 40))
    def the_server_fails(self, which: int, times: int, after: int) -> None:
        drawn = FAULTS[which]
        on = {"on": drawn.on} if drawn.on else {}
        often = None if drawn.lasts else times
        self.world.proxy.arm(drawn.made(self.world), times=often, after=after, **on)
        self._count()

    @precondition(lambda self: self.world.proxy.armed)
    @rule()
    def the_server_is_well_again(self) -> None:
        self.world.proxy.disarm()
        self._count()

    # -- the machine -----------------------------------------------------------------------------

    @rule()
    def the_machine_works(self) -> None:
        self.world.run()
        self._count()

    @rule(at=st.integers(0, 160))
    def the_machine_is_killed(self, at: int) -> None:
        """Before a request reaches the server, or before its answer reaches us."""
        self.world.proxy.kill_at = at
        self.world.run()
        self._count()

    @precondition(lambda self: self._standing())
    @rule(
        who=WHO,
        born=st.sampled_from((AGAINST, FITS)),
        act=st.sampled_from(("moves it on", "enters a period", "writes a note", "deletes it")),
    )
    def a_person_acts_while_the_machine_writes(self, who: int, born: str, act: str) -> None:
        """In the second between its last look at what stands and its write."""
        patient = self._one(who)
        self.world.change_patient(patient, birthDate=born)
        acts = {
            "deletes it": lambda: self.world.person_deletes(patient),
            "moves it on": lambda: self.world.person_changes(
                patient, status="screening", _status=PERSON
            ),
            "enters a period": lambda: self.world.person_changes(
                patient, period={"start": "2026-11-22"}
            ),
            "writes a note": lambda: self.world.person_notes(patient, "met", narrative=False),
        }
        self.world.proxy.meanwhile = (lambda one: self.world.changes(one, patient), acts[act])
        self.world.run()
        self._count()

    @rule(who=WHO, deletes=st.booleans())
    def the_machine_dies_on_a_create_and_a_person_acts(self, who: int, *, deletes: bool) -> None:
        """Before the ledger has heard that it stands."""
        self.world.proxy.dies_after = lambda one: is_create_of(one, "ResearchSubject")
        self.world.run()
        patient = self._any(who)
        if deletes:
            self.world.person_deletes(patient)
        else:
            self.world.person_changes(patient, status="withdrawn", _status=PERSON)
        self._count()

    @precondition(lambda self: self._standing())
    @rule(who=WHO, born=st.sampled_from((FITS, UNCLEAR)))
    def the_machine_dies_on_a_take_back(self, who: int, born: str) -> None:
        """Its own new status is no person's word: whoever fits again is proposed again."""
        patient = self._one(who)
        self.world.change_patient(patient, birthDate=AGAINST)
        self.world.proxy.dies_after = lambda one: self.world.changes(one, patient)
        self.world.run()
        self.world.change_patient(patient, birthDate=born)
        self._count()

    @rule()
    def another_writer_makes_the_same(self) -> None:
        """And the server keeps both, against the condition: `ledger repair` finds them."""
        raced = self.world.run_beside_another_writer()
        COUNTED["doubled by the server"] += raced
        self._count()

    @rule()
    def the_machine_is_started_anew(self) -> None:
        self.world.stop()
        self._count()

    @precondition(lambda self: self._since_quiet > _SELDOM)
    @rule(repairs=st.booleans())
    def all_is_quiet(self, *, repairs: bool) -> None:
        self._settles(repairs=repairs)
        self._count()
        self._since_quiet = 0

    def _settles(self, *, repairs: bool) -> None:
        COUNTED["settlings"] += 1
        self.world.settle()
        COUNTED.update(self.world.check_settled())
        if repairs or self.world.twinned:
            mended = len(self.world.repair())
            COUNTED["doubles repaired"] += mended
            self.world.check_repaired()
            if mended:  # what was kept may be another writer's: it gets its Provenance
                self.world.everybody_again()
        assert self.world.everybody_again() == 0, "a replay writes nothing"

    @invariant()
    def nothing_is_doubled_or_overwritten(self) -> None:
        if hasattr(self, "world"):
            self.world.check()

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            self._settles(repairs=True)
        finally:
            COUNTED["kills"] += self.world.kills
            COUNTED["requests"] += self.world.proxy.requests
            self.world.stop()
            self.world.server.close()
            self._folder.cleanup()

    def _any(self, who: int) -> str:
        return self.world.patients[who % len(self.world.patients)]

    def _standing(self) -> list[str]:
        """Patients for whom a ResearchSubject stands."""
        return [one for one in self.world.patients if self.world.subjects(one)]

    def _one(self, who: int) -> str:
        found = self._standing()
        return found[who % len(found)]

    def _count(self, did: bool = True) -> None:  # noqa: FBT001, FBT002 - what the act gave
        COUNTED["events"] += did
        self._since_quiet += did
