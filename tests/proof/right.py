"""The right answer for each patient, stated from the record and from what people did.

Nothing of the code under test has a say here. Where several answers are right, all are named.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proof.world import World

FITS, AGAINST, UNCLEAR = "1976-05-04", "2015-05-04", ""
"""Born so: of the ages of the study, too young, nobody knows."""
ENDED = ("ineligible", "withdrawn")
"""How people close an attempt here."""
_EITHER = frozenset((0, 1))


@dataclass
class Memory:
    """What the record as it stands does not show any more."""

    stood: dict[str, int] = field(default_factory=dict)
    """Proposals of the machine when all was quiet last."""
    seen: dict[str, set[int]] = field(default_factory=dict)
    """What each record has asked for since."""
    declined: dict[str, int] = field(default_factory=dict)
    """Proposals of the machine when the patient declined: no new one after that."""
    with_declined: set[str] = field(default_factory=set)
    """Who was merged with somebody who declined: it may hold for them for good."""


@dataclass(frozen=True)
class Answer:
    """Of one record, or of several that are one patient."""

    patients: tuple[str, ...]
    standing: int
    right: frozenset[int] | None
    """How many open proposals of the machine are right; None where this cannot be stated."""


def is_of_machine(world: World, subject: dict[str, Any]) -> bool:
    """An open proposal that no person has touched."""
    proposed = subject["status"] in ("candidate", "potential-candidate")
    return proposed and str(subject["id"]) not in world.left


def machines(world: World, patient: str) -> int:
    return sum(is_of_machine(world, one) for one in world.subjects(patient))


def wanted(world: World, patient: str) -> int | None:
    """What one record asks for; None: what stands, stays."""
    if _is_over(world, patient):
        return 0
    return {FITS: 1, AGAINST: 0}.get(_born(world, patient))


def notice(world: World, patient: str) -> None:
    """The record of a patient has changed."""
    asked = wanted(world, patient)
    world.memory.seen.setdefault(patient, set()).update(() if asked is None else (asked,))


def joined(world: World) -> list[tuple[str, ...]]:
    """The patients, those that Patient.link joins together, circles too."""
    groups = [{one} for one in world.patients]
    for old, new in _edges(world):
        ours = [group for group in groups if group & {old, new}]
        groups = [group for group in groups if group not in ours] + [set().union(*ours)]
    return sorted(tuple(sorted(group)) for group in groups)


def answers(world: World) -> list[Answer]:
    """For everybody, each group of merged records as one patient."""
    edges = _edges(world)
    return [_answer(world, group, edges) for group in joined(world)]


def remember(world: World) -> None:
    """All is quiet and as it should be."""
    alone = {group[0] for group in joined(world) if len(group) == 1}
    for one in world.patients:
        world.memory.stood[one] = machines(world, one)
        # a merged record may be judged by the others' when the merge ends
        world.memory.seen[one] = set() if one in alone else {0, 1}


def _answer(world: World, group: tuple[str, ...], edges: set[tuple[str, str]]) -> Answer:
    standing = sum(machines(world, one) for one in group)
    if _is_circle(group, edges):
        return Answer(group, standing, None)
    right = _alone(world, group[0]) if len(group) == 1 else _of_merged(world, group)
    if world.twinned & set(group) and not any(_is_taken_back(world, one) for one in group):
        right |= {one + 1 for one in right}
    return Answer(group, standing, None if len(right) == len(group) + 1 else right)


def _alone(world: World, patient: str) -> frozenset[int]:
    memory, asked = world.memory, wanted(world, patient)
    if patient in world.half_deleted:
        return _EITHER
    if _is_over(world, patient) or patient in world.deleted or _is_left(world, patient):
        return frozenset((0,))
    if patient in memory.with_declined:
        return _EITHER
    if asked is None:
        asked_since = memory.seen.get(patient, set())
        right = frozenset(asked_since | {memory.stood.get(patient, 0)})
    else:
        right = frozenset((asked,))
    if patient in memory.declined:
        # what stood is for people to close; nothing is proposed any more
        return frozenset(range(memory.declined[patient] + 1))
    return right


def _is_taken_back(world: World, patient: str) -> bool:
    """Every untouched proposal of theirs, doubles too."""
    declined = patient in world.memory.declined
    return _is_over(world, patient) or (wanted(world, patient) == 0 and not declined)


def _of_merged(world: World, group: tuple[str, ...]) -> frozenset[int]:
    """Two proposals of two records stand until they are repaired."""
    several = frozenset(range(len(group) + 1))
    if any(_is_over(world, one) for one in group):
        return frozenset((0,))
    born = {_born(world, one) for one in group}
    memory = world.memory
    if born == {AGAINST} and not {*memory.declined, *memory.with_declined} & set(group):
        return frozenset((0,))
    exempt = {*world.deleted, *world.half_deleted, *memory.declined, *memory.with_declined}
    people = any(_is_left(world, one) for one in group)
    if born == {FITS} and not people and not exempt & set(group):
        return several - {0}
    return several


def _is_over(world: World, patient: str) -> bool:
    found = world.server.store.get("Patient", patient).resource or {}
    return bool(found.get("deceasedBoolean")) or world.opted_out(patient)


def _is_left(world: World, patient: str) -> bool:
    return any(str(one["id"]) in world.left for one in world.subjects(patient))


def _born(world: World, patient: str) -> str:
    found = world.server.store.get("Patient", patient).resource or {}
    return str(found.get("birthDate", UNCLEAR))


def _edges(world: World) -> set[tuple[str, str]]:
    """(replaced, surviving) by what every record says."""
    found = set[tuple[str, str]]()
    for own in world.patients:
        patient = world.server.store.get("Patient", own).resource or {}
        for link in patient.get("link", ()):
            other = str(link["other"]["reference"]).removeprefix("Patient/")
            found.add((own, other) if link["type"] == "replaced-by" else (other, own))
    return found


def survivors(world: World, patient: str) -> set[str]:
    """Whom a record was replaced by, as any record says."""
    return {new for old, new in _edges(world) if old == patient}


def persons(world: World) -> list[tuple[str, ...]]:
    """As ``joined``, without who is merged in a circle: it is not known who they are."""
    edges = _edges(world)
    return [group for group in joined(world) if not _is_circle(group, edges)]


def _is_circle(group: tuple[str, ...], edges: set[tuple[str, str]]) -> bool:
    return in_circle({edge for edge in edges if edge[0] in group})


def in_circle(edges: set[tuple[str, str]]) -> bool:
    """Whether following who was replaced by whom comes back to where it began."""
    reached = set(edges)
    while more := {(a, d) for a, b in reached for c, d in reached if b == c} - reached:
        reached |= more
    return any(old == new for old, new in reached)
