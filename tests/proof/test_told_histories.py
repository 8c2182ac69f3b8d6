"""Histories that the random events of the proof seldom draw, told one by one in the same world."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import pytest
from proof.in_process import Killed, Sandbox, is_create_of
from proof.right import AGAINST, FITS
from proof.world import PERSON, World

from fhir_adapter.sandbox import HAPI

from small_study import write_small_study

pytestmark = pytest.mark.slow


@cache
def _study() -> str:
    """One for all: it is compiled once."""
    return str(write_small_study(Path(tempfile.mkdtemp()) / "study"))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A server with the habits of HAPI; everybody has been proposed."""
    made = World(folder=tmp_path, study=_study(), reach=partial(Sandbox, habits=HAPI))
    made.settle()
    assert [len(made.subjects(patient)) for patient in made.patients] == [1, 1, 1]
    yield made
    made.settle()
    made.check_settled()
    assert made.everybody_again() == 0, "a replay writes nothing"
    made.stop()


def status(world: World, patient: str) -> str:
    (found,) = world.subjects(patient)
    return str(found["status"])


def test_who_is_taken_back_by_a_run_that_dies_is_proposed_again(world: World) -> None:
    world.change_patient("p0", birthDate=AGAINST)
    world.proxy.dies_after = lambda one: world.changes(one, "p0")
    world.run()
    assert (world.kills, status(world, "p0")) == (1, "ineligible")
    world.change_patient("p0", birthDate=FITS)
    world.settle()
    assert status(world, "p0") == "candidate"


@pytest.mark.parametrize("act", ["moves it on", "deletes it"])
def test_a_person_who_acts_in_the_second_of_a_take_back_has_the_last_word(
    world: World, act: str
) -> None:
    def acts() -> None:
        if act == "deletes it":
            world.person_deletes("p0")
        else:
            world.person_changes("p0", status="screening", _status=PERSON)

    world.proxy.meanwhile = (lambda one: world.changes(one, "p0"), acts)
    world.change_patient("p0", birthDate=AGAINST)
    world.run()
    assert world.proxy.meanwhile is None
    world.check()
    assert world.left or world.deleted


def test_what_a_person_deletes_after_a_run_died_on_its_create_is_not_made_again(
    tmp_path: Path,
) -> None:
    world = World(
        folder=tmp_path, study=_study(), reach=partial(Sandbox, habits=HAPI), patients=("p0",)
    )
    world.proxy.dies_after = lambda one: is_create_of(one, "ResearchSubject")
    world.run()
    assert (world.kills, status(world, "p0")) == (1, "candidate")
    world.person_deletes("p0")
    world.settle()
    world.check_settled()
    assert world.subjects("p0") == []
    world.stop()


def test_without_a_history_such_a_deletion_cannot_be_told_and_it_is_made(tmp_path: Path) -> None:
    """As decided: a patient who is never proposed is worse than one proposed again."""
    silent = replace(HAPI, no_type_history=True)
    world = World(
        folder=tmp_path, study=_study(), reach=partial(Sandbox, habits=silent), patients=("p0",)
    )
    world.proxy.dies_after = lambda one: is_create_of(one, "ResearchSubject")
    world.run()
    world.person_deletes("p0")
    world.settle()
    world.check_settled()
    assert status(world, "p0") == "candidate"
    world.person_deletes("p0")
    world.settle()
    world.check_settled()
    assert world.subjects("p0") == []
    world.stop()


def test_who_does_not_fit_after_a_run_died_on_its_create_is_taken_back(tmp_path: Path) -> None:
    """It died before its Provenance: without any, nothing showed that no person had signed."""
    world = World(
        folder=tmp_path, study=_study(), reach=partial(Sandbox, habits=HAPI), patients=("p0",)
    )
    world.proxy.dies_after = lambda one: is_create_of(one, "ResearchSubject")
    world.run()
    assert (world.kills, status(world, "p0")) == (1, "candidate")
    world.change_patient("p0", birthDate=AGAINST)
    world.settle()
    world.check_settled()
    assert status(world, "p0") == "ineligible"
    world.stop()


def test_a_consent_that_was_deleted_is_seen_after_a_night(world: World) -> None:
    world.opt_out("p2", out=True)
    world.settle()
    assert status(world, "p2") == "ineligible"
    world.opt_out("p2", out=False)
    world.run()
    assert status(world, "p2") == "ineligible", "no poll shows what is not there any more"
    world.settle()
    assert status(world, "p2") == "candidate"


def test_a_create_that_died_before_it_was_sent_is_made(tmp_path: Path) -> None:
    world = World(
        folder=tmp_path, study=_study(), reach=partial(Sandbox, habits=HAPI), patients=("p0",)
    )

    def dies() -> None:
        raise Killed

    world.proxy.meanwhile = (lambda one: is_create_of(one, "ResearchSubject"), dies)
    world.run()
    assert (world.kills, world.subjects("p0")) == (1, [])
    world.settle()
    assert status(world, "p0") == "candidate"
    world.stop()


@pytest.mark.slow
@pytest.mark.parametrize("both", [True, False])
@pytest.mark.parametrize("dead", ["p0", "p1"])
def test_the_ids_of_one_person_do_not_propose_in_turn(
    world: World, dead: str, *, both: bool
) -> None:
    """p0 was replaced by p1; a death on either is the death of both."""
    world.merge("p0", "p1", both=both)
    world.settle()
    world.change_patient(dead, deceasedBoolean=True)
    world.settle()
    assert [status(world, one) for one in ("p0", "p1")] == ["ineligible", "ineligible"]
    assert world.everybody_again() == 0
    world.change_patient(dead, deceasedBoolean=False)
    world.settle()
    assert world.everybody_again() == 0


@pytest.mark.parametrize("closed", ["withdrawn", "ineligible"])
@pytest.mark.parametrize("opened", ["candidate", "screening"])
def test_the_attempt_that_a_person_opens_after_a_closed_one_is_theirs_like_the_first(
    world: World, closed: str, opened: str
) -> None:
    """Whatever the record says from then on; neither is taken back nor proposed again."""
    world.person_changes("p0", status=closed, _status=PERSON)
    world.run()
    assert world.person_opens_again("p0", status=opened)
    for born in (FITS, AGAINST, FITS):
        world.change_patient("p0", birthDate=born)
        world.settle()
        world.check()
        assert [one["status"] for one in world.subjects("p0")] == [closed, opened]


def test_a_person_who_deletes_both_attempts_is_not_answered_with_a_third(world: World) -> None:
    world.person_changes("p0", status="ineligible", _status=PERSON)
    assert world.person_opens_again("p0", status="screening")
    world.settle()
    for _ in range(2):
        world.person_deletes("p0")
        world.settle()
        world.check()
    assert world.subjects("p0") == []


def _loses_its_ledger(world: World) -> None:
    world.stop()
    for path in world.folder.glob("ledger.sqlite*"):
        path.unlink()


def test_an_installation_that_loses_its_ledger_writes_nothing_again(world: World) -> None:
    """What stands is found, what a person deleted is missed beside its opinion."""
    world.person_deletes("p0")
    world.person_changes("p1", status="screening", _status=PERSON)
    _loses_its_ledger(world)
    before = world.versions()
    world.settle()
    world.check_settled()
    assert world.versions() == before
    assert [len(world.subjects(one)) for one in world.patients] == [0, 1, 1]


@pytest.mark.parametrize("both", [True, False])
def test_without_the_ledger_a_deletion_is_seen_under_every_id_of_a_merge(
    tmp_path: Path, *, both: bool
) -> None:
    """p0, whose proposal a person deleted, turns out to be p1, who was never proposed."""
    world = World(
        folder=tmp_path, study=_study(), reach=partial(Sandbox, habits=HAPI), patients=("p0", "p1")
    )
    world.change_patient("p1", birthDate=AGAINST)
    world.settle()
    assert [len(world.subjects(one)) for one in world.patients] == [1, 0]
    world.person_deletes("p0")
    world.change_patient("p1", birthDate=FITS)
    world.merge("p0", "p1", both=both)
    _loses_its_ledger(world)
    world.settle()
    assert world.subjects("p0") + world.subjects("p1") == []
    world.stop()


@pytest.mark.parametrize("ledger", ["kept", "lost"])
@pytest.mark.parametrize("both", [True, False])
@pytest.mark.parametrize("what", ["dies", "opts out", "is against"])
def test_a_persons_word_on_one_record_of_a_merge_keeps_no_proposal_on_the_other(
    world: World, what: str, ledger: str, *, both: bool
) -> None:
    """p0 was moved on and is theirs; what the machine proposed for p1 is taken back."""
    world.person_changes("p0", status="screening", _status=PERSON)
    world.merge("p0", "p1", both=both)
    world.settle()
    if ledger == "lost":
        _loses_its_ledger(world)
    for one in ("p0", "p1"):
        _stops(world, one, what)
    world.settle()
    assert [status(world, one) for one in ("p0", "p1")] == ["screening", "ineligible"]


def _stops(world: World, patient: str, what: str) -> None:
    if what == "opts out":
        world.opt_out(patient, out=True)
    else:
        ends = {"birthDate": AGAINST} if what == "is against" else {"deceasedBoolean": True}
        world.change_patient(patient, **ends)


@pytest.mark.parametrize("old", ["p0", "p1"])
def test_after_an_unmerge_each_record_is_judged_by_its_own(world: World, old: str) -> None:
    world.person_changes("p0", status="screening", _status=PERSON)
    world.merge(old, "p1" if old == "p0" else "p0", both=True)
    world.settle()
    world.unmerge()
    world.settle()
    assert [status(world, one) for one in ("p0", "p1")] == ["screening", "candidate"]
    for elements, wanted in (
        ({"birthDate": AGAINST}, "ineligible"),
        ({"birthDate": FITS}, "candidate"),
        ({"deceasedBoolean": True}, "ineligible"),
    ):
        world.change_patient("p1", **elements)
        world.settle()
        assert [status(world, one) for one in ("p0", "p1")] == ["screening", wanted]


@pytest.mark.parametrize("old", ["p0", "p1"])
def test_what_a_person_deleted_is_not_made_again_after_a_merge_and_its_end(
    world: World, old: str
) -> None:
    """While they are one the other's proposal stands for both; that is no word about this key."""
    world.person_deletes("p1")
    world.settle()
    world.merge(old, "p1" if old == "p0" else "p0", both=True)
    world.settle()
    world.unmerge()
    _stands_alone(world)


def _stands_alone(world: World) -> None:
    """After the end of a merge p0's is the machine's own still, and p1's was deleted."""
    world.settle()
    assert [len(world.subjects(one)) for one in ("p0", "p1")] == [1, 0]
    world.change_patient("p0", birthDate=AGAINST)
    world.settle()
    assert status(world, "p0") == "ineligible"


def _statuses(world: World) -> list[str]:
    return [status(world, one) for one in ("p0", "p1")]


@pytest.mark.parametrize("both", [True, False])
@pytest.mark.parametrize("theirs", ["", "p0", "p1"])
def test_repair_keeps_one_of_two_proposals_of_a_merged_patient(
    world: World, theirs: str, *, both: bool
) -> None:
    """The one that a person touched, else the oldest; after it nothing more is written."""
    world.merge("p0", "p1", both=both)
    world.settle()
    if theirs:
        world.person_changes(theirs, period={"start": "2026-11-22"})
    before = world.versions()
    (dry,) = world.repair(write=False)
    assert world.versions() == before
    assert world.repair() == (dry,)
    kept = theirs or "p0"
    assert dry.kept == f"ResearchSubject/{world.subjects(kept)[0]['id']}"
    assert [one for one in ("p0", "p1") if status(world, one) == "candidate"] == [kept]
    assert world.repair() == ()
    world.settle()
    assert world.everybody_again() == 0


def test_repair_tells_two_proposals_of_a_merged_patient_that_people_touched(world: World) -> None:
    world.merge("p0", "p1", both=True)
    for one in ("p0", "p1"):
        world.person_changes(one, status="screening", _status=PERSON)
    (told,) = world.repair()
    assert (told.kept, [act for act, _ in told.done]) == ("", ["tell", "tell"])
    assert _statuses(world) == ["screening", "screening"]


@pytest.mark.parametrize("ledger", ["kept", "lost"])
def test_what_repair_closed_stands_again_when_the_merge_was_wrong(
    world: World, ledger: str
) -> None:
    """Each record is judged by its own, as if they had never been one."""
    world.merge("p0", "p1", both=True)
    world.repair()
    world.settle()
    assert _statuses(world) == ["candidate", "not-registered"]
    world.unmerge()
    if ledger == "lost":
        _loses_its_ledger(world)
    world.change_patient("p1", deceasedBoolean=True)
    world.settle()
    assert _statuses(world) == ["candidate", "not-registered"]
    world.change_patient("p1", deceasedBoolean=False)
    world.settle()
    assert _statuses(world) == ["candidate", "candidate"]
    world.change_patient("p0", birthDate=AGAINST)
    world.settle()
    assert _statuses(world) == ["ineligible", "candidate"]


def test_what_a_person_deleted_of_a_merged_patient_is_made_again_under_no_key(
    world: World,
) -> None:
    world.merge("p0", "p1", both=True)
    world.repair()
    world.person_deletes("p0")
    world.settle()
    assert (world.subjects("p0"), status(world, "p1")) == ([], "not-registered")


def test_who_deletes_what_repair_closed_says_nothing_of_the_other_record(world: World) -> None:
    """The ledger has p0's under p1's key; after the merge's end that is another patient's."""
    world.merge("p0", "p1", both=True)
    world.repair()
    world.settle()
    world.person_deletes("p1")
    world.unmerge()
    _stands_alone(world)
