"""A store after increments holds the records of the record lane on the folder as it stands then."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from warehouse.test_one_answer import lab, medication, merged_into, of, order, patient

from fhir_adapter.errors import StoreOutdated
from fhir_adapter.model.code import Code
from fhir_adapter.warehouse.work import bucket_of

from cohort_store import loaded, opened, pulled, stored, write_lines

TEN = [str(number) for number in range(10)]
BASE: dict[str, Any] = {f"Patient/{one}": patient(one) for one in TEN}
BASE |= {f"Observation/o{one}": lab(one, f"o{one}", one) for one in TEN}
BASE |= {"Medication/m": medication("m"), "MedicationRequest/r": order("1", "r", "m")}
BASE |= {"MedicationRequest/q": order("2", "q", "later")}
BASE |= {"Practitioner/d": {"resourceType": "Practitioner", "id": "d"}}


def write_export(folder: Path, resources: dict[str, Any], deleted: tuple[str, ...] = ()) -> Path:
    by_type: dict[str, list[Any]] = {}
    for one in resources.values():
        by_type.setdefault(one["resourceType"], []).append(one)
    folder.mkdir(parents=True)
    for name, some in by_type.items():
        write_lines(folder / f"{name}.ndjson", some)
    if deleted:
        entries = [{"request": {"method": "DELETE", "url": key}} for key in deleted]
        lines = [{"resourceType": "Bundle", "type": "transaction", "entry": entries}]
        write_lines(folder / "deleted" / "1.ndjson", lines)
    return folder


class World:
    """A hospital whose record changes, and its store."""

    def __init__(self, base: Path, resources: dict[str, Any], bucket_bytes: int = 800) -> None:
        self.base = base
        self.store = base / "store"
        self.resources = dict(resources)
        self.turn = 0
        self.counts = loaded(
            write_export(base / "whole", resources), self.store, bucket_bytes=bucket_bytes
        )

    def update(self, changed: dict[str, Any], deleted: tuple[str, ...] = ()) -> None:
        self.turn += 1
        folder = write_export(self.base / f"in{self.turn}", changed, deleted)
        self.counts = loaded(folder, self.store, update=True)
        self.resources = {k: v for k, v in self.resources.items() if k not in deleted} | changed

    def hold(self) -> None:
        now = write_export(self.base / f"now{self.turn}", self.resources)
        records, _ = pulled(now)
        for name in {one["resourceType"] for one in BASE.values()}:
            (now / f"{name}.ndjson").touch()  # there was a file of it once
        records, _ = pulled(now)
        assert stored(self.store) == records

    def numbers(self) -> dict[str, int]:
        store = opened(self.store)
        tables = [store.table(one, "patient") for one in store.buckets]
        return {row["id"]: row["patient"] for table in tables for row in table.to_pylist()}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, BASE)


def test_a_changed_resource_is_read_again_and_the_rest_is_left(world):
    buckets = len(opened(world.store).buckets)
    world.update({"Observation/o3": lab("3", "o3", "99")})
    assert world.counts.buckets == 1 < buckets
    world.hold()


def test_a_deleted_resource_is_gone(world):
    world.update({}, ("Observation/o3", "Observation/nobody-knows"))
    assert stored(world.store)["3"].resources == 1
    world.hold()


def test_a_deleted_patient_is_gone_and_the_number_is_never_given_again(world):
    before = world.numbers()
    world.update({}, ("Patient/3", "Observation/o3"))
    assert "3" not in stored(world.store)
    world.update({f"Patient/n{n}": patient(f"n{n}") for n in range(30)})
    after = world.numbers()
    assert before["3"] not in after.values()
    assert len(set(after.values())) == len(after)
    assert {one: after[one] for one in before if one != "3"} == {
        one: number for one, number in before.items() if one != "3"
    }
    world.hold()


def test_a_resource_that_moves_to_another_patient_leaves_the_first(world):
    world.update({"Observation/o3": lab("4", "o3")})
    assert stored(world.store)["3"].resources == 1
    world.hold()


def test_a_new_patient_arrives(world):
    world.update({"Patient/x": patient("x"), "Observation/x": lab("x", "x")})
    world.hold()


@pytest.mark.slow
def test_a_later_merge_brings_two_buckets_together_and_keeps_the_numbers(world):
    buckets = len(opened(world.store).manifest.buckets)
    other = next(one for one in TEN[1:] if bucket_of(one, buckets) != bucket_of("0", buckets))
    before = world.numbers()
    world.update({"Patient/0": merged_into("0", other)})
    assert stored(world.store)["0"].aliases == (other,)
    assert world.numbers() == before
    world.hold()
    world.update({f"Observation/o{other}": lab(other, f"o{other}", "77")})
    world.hold()
    world.update({"Patient/0": patient("0")})  # taken back
    assert stored(world.store)["0"].aliases == ()
    assert world.numbers() == before
    world.hold()


def test_a_changed_medication_is_read_again_by_those_who_refer_to_it(world):
    world.update({"Medication/m": medication("m", "L04AD02")})
    codes = {code.code for one in stored(world.store)["1"].facts for code in one.concepts}
    assert "L04AD02" in codes
    world.hold()


def test_a_medication_that_was_missing_comes_later_and_goes_again(world):
    world.update({"Medication/later": medication("later")})
    world.hold()
    world.update({}, ("Medication/later",))
    world.hold()


def test_a_type_that_the_whole_load_did_not_hold_is_open_after_any_increment(world):
    """Found by an outsider: one Condition in an increment made everybody free of the others."""
    for changed in ({"Procedure/p": of("1", "Procedure", "p")}, {"Observation/o3": lab("3", "o3")}):
        world.update(changed)
        assert world.counts.incomplete["procedure"] == world.counts.patients
    found = stored(world.store)["1"]
    assert any(fact.source == "Procedure/p" for fact in found.facts)
    assert {one.kind: one.complete for one in found.retrieved}["procedure"] is False


def test_codes_keep_their_numbers(world):
    before = list(opened(world.store).dictionary.codes)
    code = {"coding": [{"system": "urn:new", "code": "1"}]}
    world.update({"Observation/o3": {**lab("3", "o3"), "code": code}})
    after = opened(world.store).dictionary.codes
    assert after == [*before, Code("urn:new", "1")]
    world.hold()


def test_a_broken_line_in_an_increment_concerns_everybody(world, tmp_path):
    folder = write_export(tmp_path / "bad", {"Observation/o1": lab("1", "o1", "8")})
    with (folder / "Observation.ndjson").open("a") as stream:
        stream.write('{"resourceType": "Obs')
    counts = loaded(folder, world.store, update=True)
    assert counts.issues == {"unreadable-line": 1}
    for record in stored(world.store).values():
        assert "unreadable-line" in record.issues
        assert any(row.why_not == "unreadable-line" for row in record.retrieved)


def test_a_duplicate_found_late_concerns_everybody(world, tmp_path):
    folder = write_export(tmp_path / "twice", {})
    write_lines(folder / "Observation.ndjson", [lab("1", "new"), lab("1", "new", "8")])
    loaded(folder, world.store, update=True)
    assert all("duplicate" in record.issues for record in stored(world.store).values())


def test_an_update_of_a_store_with_other_rules_is_refused(world, tmp_path):
    path = world.store / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "facts_basis": "other"}))
    with pytest.raises(StoreOutdated):
        loaded(write_export(tmp_path / "more", BASE), world.store, update=True)
    loaded(write_export(tmp_path / "all", BASE), world.store)  # a whole load mends it
    assert len(stored(world.store)) == len(TEN)


def _changes() -> st.SearchStrategy[dict[str, Any]]:
    ids, names = st.sampled_from(TEN), st.sampled_from(["a", "b", "c"])
    some = st.one_of(
        st.builds(lab, ids, names),
        st.builds(order, ids, names, names),
        st.builds(medication, names),
        st.builds(patient, ids),
        st.builds(merged_into, ids, ids),
    )
    return st.lists(some, min_size=1, max_size=6).map(
        lambda listed: {f"{one['resourceType']}/{one['id']}": one for one in listed}
    )


@pytest.mark.property
@settings(max_examples=settings.default.max_examples // 4)
@given(st.lists(st.tuples(_changes(), st.sets(st.sampled_from(sorted(BASE)))), max_size=2))
@pytest.mark.slow
def test_any_increments_lead_where_a_whole_load_would(tmp_path_factory, turns):
    world = World(tmp_path_factory.mktemp("world"), BASE)
    for changed, deleted in turns:
        world.update(changed, tuple(sorted(deleted - changed.keys())))
        world.hold()
