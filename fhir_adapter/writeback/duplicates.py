"""Duplicate ResearchSubjects of one patient and study on a server (fhir-shapes section 2).

One patient is whoever stands under one id, carries one key, or was merged. Kept is the one that a
person touched, else the oldest. The others get status ``not-registered`` with what takes their
place. Where two are a person's, or it cannot be told that they are not, nothing is done and a
person is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from fhir_adapter.errors import ServerFault, WriteConflict
from fhir_adapter.fhir.set_by import set_by
from fhir_adapter.model.joins import roots_of
from fhir_adapter.ports import Resource
from fhir_adapter.writeback.filling import filled
from fhir_adapter.writeback.needs import LastWritten
from fhir_adapter.writeback.sending import Sender, key_params, token
from fhir_adapter.writeback.standing import (
    CLOSED,
    Expected,
    closed_for,
    identifiers,
    oldest_first,
    reference_of,
    statuses_of,
    target_of,
    version_of,
)
from fhir_adapter.writeback.touching import people_among

Act = Literal["gone", "not-registered", "tell"]
"""gone: somebody has deleted it meanwhile."""
Aliases = Callable[[str], Iterable[str] | None]
"""Other ids of a patient; None where it cannot be told who was merged with them."""
_UNJOINED = "it cannot be told who was merged with the patient"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A row of the ledger about one key."""

    key: str
    patient: str
    """Empty where the patient was forgotten."""
    last: LastWritten


@dataclass(frozen=True, slots=True, kw_only=True)
class Forms:
    """What repairing needs of ours, made by present/."""

    study: str
    """ResearchStudy/<id> on that server."""
    system: str
    """System of our keys."""
    status: Resource
    """``_status`` of what the machine has set."""
    device: Resource
    provenance: Resource
    """Of a change to a ResearchSubject, with placeholders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired:
    """One patient's duplicates and what was, or would be, done with them."""

    kept: str
    """Reference; empty where a person has to say which."""
    done: tuple[tuple[Act, str], ...]
    """What with which reference."""
    why: str = ""
    """Why a person is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """Finds and mends the duplicates of one study."""

    sender: Sender
    forms: Forms
    stored: Sequence[Stored]
    aliases: Aliases = lambda _: ()

    def run(self) -> tuple[Repaired, ...]:
        """All of them, in order of reference; without ``write`` of the sender nothing is done."""
        every = self._found()
        found = [one for one in every if one.get("status") not in CLOSED]
        patients = sorted({_patient(one) for one in found} - {""})
        merges = {one: self.aliases(one) for one in patients}
        unjoined = (one for one in found if merges.get(_patient(one), ()) is None)
        closed = self._closed_by_people(every, found)
        groups = self._groups(found, closed, {one: tuple(ids or ()) for one, ids in merges.items()})
        return (
            *(self._mend(group) for group in groups),
            *(_told([one], _UNJOINED) for one in oldest_first(unjoined)),
        )

    def _closed_by_people(self, every: Iterable[Resource], found: list[Resource]) -> list[Resource]:
        """Closed ones under a key that stands open too: one attempt, which a person has ended."""
        keys = {key for one in found for key in self._keys(one)}
        closed = (one for one in every if one.get("status") in CLOSED and set_by(one) != "machine")
        return [one for one in closed if keys & set(self._keys(one))]

    def _groups(
        self,
        found: Sequence[Resource],
        closed: Sequence[Resource],
        merges: Mapping[str, Iterable[str]],
    ) -> list[list[Resource]]:
        """Open entries that share patient or key, two or more; closed ones are other attempts."""
        names = {reference_of(one): sorted(self._names(one)) for one in found}
        names |= {reference_of(one): sorted(self._keys(one)) for one in closed}
        links = {one: tuple((one, name) for name in every) for one, every in names.items()}
        for patient, ids in merges.items():
            own = f"patient Patient/{patient}"
            links[own] = tuple((own, f"patient Patient/{other}") for other in ids)
        joined = roots_of(links)
        groups: dict[str, list[Resource]] = {}
        for one in (*found, *closed):
            groups.setdefault(joined[reference_of(one)], []).append(one)
        several = (oldest_first(group) for group in groups.values() if len(group) > 1)
        return sorted(several, key=lambda group: reference_of(group[0]))

    def _names(self, found: Resource) -> Iterable[str]:
        """Patient and keys, written so that neither is taken for a reference."""
        yield f"patient {target_of(found.get('individual'))}"
        yield from self._keys(found)

    def _keys(self, found: Resource) -> list[str]:
        ours = (value for system, value in identifiers(found) if system == self.forms.system)
        return [f"key {value}" for value in ours]

    def _found(self) -> list[Resource]:
        """By study; where the server cannot, by what the ledger knows, patient by patient."""
        try:
            every = self.sender.all("ResearchSubject", {"study": self.forms.study})
        except ServerFault:
            every = []
        seen = {reference_of(one) for one in every}
        for row in self.stored:
            if not row.last.reference or row.last.reference not in seen:
                every += self._of(row)
        ours = (one for one in every if target_of(one.get("study")) == self.forms.study)
        return list({reference_of(one): one for one in ours}.values())

    def _of(self, row: Stored) -> list[Resource]:
        found = self.sender.all("ResearchSubject", token(self.forms.system, row.key))
        if row.patient:
            found += self.sender.all("ResearchSubject", {"patient": f"Patient/{row.patient}"})
        return found

    def _mend(self, group: list[Resource]) -> Repaired:
        people = people_among(self.sender, group)
        doubts = {reference_of(one): self._touch(one) or people[reference_of(one)] for one in group}
        touched = [one for one in group if doubts[reference_of(one)]]
        if len(touched) > 1:
            return _told(group, "; ".join(sorted({*doubts.values()} - {""})))
        kept = touched[0] if touched else group[0]
        rest = [one for one in group if one is not kept]
        done = tuple(self._put_away(one, kept) for one in rest)
        return Repaired(
            kept=reference_of(kept),
            done=done,
            why="it changed meanwhile" if any(act == "tell" for act, _ in done) else "",
        )

    def _touch(self, found: Resource) -> str:
        """Name of the first element that is not as we write it."""
        keys = sorted(value for system, value in identifiers(found) if system == self.forms.system)
        rows = [one for one in self.stored if one.last.reference == reference_of(found)]
        # what was put away before stands in the ledger with the reference of what was kept
        rows.sort(key=lambda one: one.key not in keys)
        row = rows[0] if rows else None
        if row is not None and row.last.state == "left-to-person":
            return "left to a person before"
        key = {"identifier": [{"system": self.forms.system, "value": one} for one in keys[:1]]}
        return Expected(
            key=keys[0] if keys else "",
            system=self.forms.system,
            patients=frozenset((_patient(found),)),
            study=self.forms.study,
            statuses=statuses_of(row.last if row is not None else None),
            sent={"resourceType": "ResearchSubject", **key},
        ).touch(found)

    def _put_away(self, found: Resource, kept: Resource) -> tuple[Act, str]:
        """On a fresh reading; who changed it in between has the last word."""
        reference = reference_of(found)
        if not self.sender.write:
            return "not-registered", reference
        now = self.sender.client.read("ResearchSubject", str(found["id"]))
        if now is None:
            return "gone", reference
        if version_of(now) != version_of(found) or self._touch(now):
            return "tell", reference
        try:
            self._replace(now, kept)
        except WriteConflict:
            return "tell", reference
        return "not-registered", reference

    def _replace(self, found: Resource, kept: Resource) -> None:
        resource = closed_for(found, kept, self.forms.status)
        self.sender.update(resource, version_of(found))
        self._prove(resource)

    def _prove(self, resource: Resource) -> None:
        """Who did it, where the server keeps that and our Device stands there."""
        if "Provenance" in self.sender.choice.left_out:
            return
        devices = self.sender.all("Device", key_params(self.forms.device))
        if not devices:
            return
        about = [{"reference": reference_of(resource)}, resource["individual"]]
        ids = {"Device": str(devices[0]["id"])}
        self.sender.add(filled({**self.forms.provenance, "target": about}, ids), lambda: None)


def _patient(found: Resource) -> str:
    return target_of(found.get("individual")).removeprefix("Patient/")


def _told(group: Sequence[Resource], why: str) -> Repaired:
    return Repaired(kept="", done=tuple(("tell", reference_of(one)) for one in group), why=why)
