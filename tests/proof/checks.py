"""What must hold: at any moment, after every fault is over, and after a repair."""

from __future__ import annotations

import copy
from collections import Counter
from typing import TYPE_CHECKING, Any

from proof.right import ENDED, Answer, answers, is_of_machine, joined, persons, remember

from fhir_adapter.model.vocabulary import BASE

if TYPE_CHECKING:
    from proof.world import World


def at_any_moment(world: World) -> None:
    """Nobody's word is overwritten, nothing is there twice."""
    every = world.subjects()
    now = {str(one["id"]): plain(one) for one in every}
    for number, theirs in world.left.items():
        assert now.get(number) == theirs, "a person's word was overwritten"
    for number, text in world.narratives.items():
        assert now.get(number, {}).get("text") == text, "a person's note was overwritten"
    ours = [one for one in every if str(one["id"]) not in world.opened | put_away(world, every)]
    keys = [_key(one) for one in ours if _key(one) and patient_of(one) not in world.twinned]
    assert len(keys) == len(set(keys)), "one key stands twice"
    for patient in world.patients:
        if patient in world.merged | world.twinned:
            continue
        theirs = [one for one in ours if patient_of(one) == patient]
        assert len(theirs) <= 1, "one patient was proposed twice"
        assert not (theirs and patient in world.deleted), "what a person deleted came back"


def settled(world: World) -> Counter[str]:
    """Nobody is lost, and nobody stands who should not."""
    at_any_moment(world)
    said = Counter[str]()
    for answer in answers(world):
        known = "patients checked" if answer.right is not None else "patients not checked"
        said[known] += len(answer.patients)
        right = answer.right is None or answer.standing in answer.right
        assert right, f"{answer}: lost, or standing where nobody should: {_standing(world, answer)}"
    remember(world)
    return said


def repaired(world: World) -> None:
    """One proposal per patient, and none beside a person's open one; two of these are told."""
    world.twinned = {one for one in world.twinned if _is_told(world, one)}
    at_any_moment(world)
    for group in persons(world):
        every = [one for patient in group for one in world.subjects(patient)]
        mine = [one for one in every if is_of_machine(world, one)]
        theirs = [one for one in every if str(one["id"]) in world.left]
        is_open = [one for one in theirs if one["status"] not in ENDED]
        most = len(every) if len(is_open) > 1 else 1 - len(is_open)
        told = any(one in world.twinned for one in group)
        assert told or len(mine) <= most, f"{group}: {len(mine)} stand after a repair"
    remember(world)


def _is_told(world: World, patient: str) -> bool:
    """Whether two are people's, under one key or open: what to do with all is for people to say."""
    group = next(group for group in joined(world) if patient in group)
    every = [one for other in group for one in world.subjects(other)]
    left = [one for one in every if str(one["id"]) in world.left]
    keys = [_key(one) for one in left if _key(one)]
    is_open = [one for one in left if one["status"] not in ENDED]
    return len(keys) > len(set(keys)) or len(is_open) > 1


def _standing(world: World, answer: Answer) -> list[tuple[str, str, str]]:
    """Id, status and whose it is."""
    every = [one for patient in answer.patients for one in world.subjects(patient)]
    left = {str(one["id"]): "a person's" * (str(one["id"]) in world.left) for one in every}
    return [(str(one["id"]), str(one["status"]), left[str(one["id"])]) for one in every]


def put_away(world: World, every: list[dict[str, Any]]) -> set[str]:
    """What `ledger repair` has closed."""
    closed = (str(one["id"]) for one in every if one["status"] == "not-registered")
    return {one for one in closed if one not in world.left}


def patient_of(subject: dict[str, Any]) -> str:
    """Logical id."""
    return str(subject["individual"]["reference"]).removeprefix("Patient/")


def _key(subject: dict[str, Any]) -> str:
    """Our key; empty where there is none."""
    found = subject.get("identifier", [])
    return next((str(one["value"]) for one in found if BASE in str(one.get("system"))), "")


def plain(resource: dict[str, Any]) -> dict[str, Any]:
    """All that somebody said."""
    return {k: copy.deepcopy(v) for k, v in resource.items() if k != "meta"}
