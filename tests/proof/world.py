"""People and machine over one server: what may happen, and what must hold whatever happens."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from proof import checks
from proof.checks import patient_of, plain
from proof.hospital import Hospital, Version
from proof.in_process import BASE as SERVER
from proof.in_process import InProcess, Killed, Sandbox, is_change_of, is_create_of
from proof.right import ENDED, FITS, Memory, joined, machines, notice

from fhir_adapter.bootstrap import clients, judging, keeping, watching
from fhir_adapter.bootstrap.watch_loop import Loop
from fhir_adapter.client import FhirClient
from fhir_adapter.errors import AdapterError
from fhir_adapter.ledger import Ledger, open_ledger
from fhir_adapter.model.vocabulary import BASE
from fhir_adapter.settings import Settings
from fhir_adapter.writeback import Repaired

from cli.cli_for_tests import AS_OF
from fault_proxy import Request, double_create
from story.cohort_for_tests import COHORT

STUDY = "NCT05985863"
MODEL = "42-all-answered"
"""A teaching patient who is a candidate of the small study."""
SET_BY = f"{BASE}/StructureDefinition/status-set-by"


@cache
def _compiled(study: str) -> judging.Bench:
    return judging.bench(Settings(study=study))


class Clock:
    """Moves a little at every look, and as far as it is told."""

    def __init__(self) -> None:
        self.at = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)

    def now(self) -> datetime:
        self.at += timedelta(milliseconds=1)
        return self.at


def copies(name: str) -> Iterator[dict[str, Any]]:
    """The model patient's record under another id; who it is fits."""
    text = (COHORT / f"{MODEL}.json").read_text("utf-8").replace(MODEL, name)
    for entry in json.loads(text)["entry"]:
        found = entry["resource"]
        yield {**found, "birthDate": FITS} if found["resourceType"] == "Patient" else found


@dataclass
class World:
    """One hospital, one installation. ``people`` is what persons have said and left."""

    folder: Path
    study: str
    reach: Callable[[Callable[[], datetime]], Hospital] = Sandbox
    """Where the server is; it is told of our clock."""
    patients: tuple[str, ...] = ("p0", "p1", "p2")
    clock: Clock = field(default_factory=Clock)
    left: dict[str, dict[str, Any]] = field(default_factory=dict)
    """ResearchSubject id -> as a person left it."""
    narratives: dict[str, Any] = field(default_factory=dict)
    """ResearchSubject id -> what a person wrote there, which does not make it theirs."""
    opened: set[str] = field(default_factory=set)
    """ResearchSubject ids of attempts that a person opened after one was closed."""
    deleted: set[str] = field(default_factory=set)
    """Patients whose proposal a person deleted."""
    half_deleted: set[str] = field(default_factory=set)
    """Patients of whose two proposals a person deleted one."""
    twinned: set[str] = field(default_factory=set)
    """Patients whom the server was made to keep twice, until that is repaired."""
    memory: Memory = field(default_factory=Memory)
    merged: set[str] = field(default_factory=set)
    """Patients who have ever been part of a merge."""
    unseen: bool = False
    """Whether a Consent was deleted, which no poll shows: the nightly sweep finds it."""
    kills: int = 0

    def __post_init__(self) -> None:
        self.server = self.reach(self.clock.now)
        self.clock.at = self.server.began
        for name in self.patients:
            self._arrives(name)
        self.proxy = self.server.proxy
        self.settings = Settings(
            study=self.study,
            record_server=SERVER,
            ledger=str(self.folder / "ledger.sqlite"),
            site_key="a secret of the site",
        )
        self._process: ExitStack | None = None
        self._loop: Loop | None = None

    def _arrives(self, patient: str) -> None:
        for resource in copies(patient):
            self.server.store.put(resource)
        notice(self, patient)

    def arrives(self, patient: str) -> None:
        """Somebody new, who fits."""
        self.patients = (*self.patients, patient)
        self._arrives(patient)

    # -- the machine -----------------------------------------------------------------------------

    @contextmanager
    def patched(self) -> Iterator[None]:
        """Clients whose requests end in this process, and this world's clock."""
        with (
            patch.object(clients, "FhirClient", self._client),
            patch.object(watching, "SystemClock", lambda: self.clock),
            patch.object(judging, "SystemClock", lambda: self.clock),
            patch.object(watching, "bench", self._bench),
        ):
            yield

    def _bench(self, settings: Settings, **people: Any) -> judging.Bench:
        """A study is compiled once; what people said comes from this world's ledger."""
        made = _compiled(settings.study)
        screener = replace(made.screener, **people)
        return replace(made, screener=screener, clock=self.clock)

    def _client(self, base: str, **options: Any) -> FhirClient:
        found = FhirClient(base, **{**options, "sleep": lambda _: None})
        found._transport._session.mount("http://", InProcess(self.proxy))
        return found

    def start(self) -> bool:
        """A process of ours; False where the server keeps it from starting."""
        self.stop()
        stack = ExitStack()
        try:
            stack.enter_context(self.patched())
            made = stack.enter_context(watching.watching(self.settings, write=True, as_of=AS_OF))
        except AdapterError:
            stack.close()
            return False
        self._process, self._loop = stack, Loop(watching=made)
        return True

    def stop(self) -> None:
        if self._process is not None:
            self._process.close()
        self._process = self._loop = None

    def run(self) -> None:
        """One look and all the work that is due; a kill on the way ends the process."""
        self.clock.at += timedelta(minutes=1)
        try:
            if self._loop is None and not self.start():
                return
            assert self._loop is not None
            self._loop.once()
        except Killed:
            self.kills += 1
            self.stop()
            self.clock.at += timedelta(hours=7)  # the lease of the dead, and every backoff
        finally:
            self.proxy.kill_at = self.proxy.dies_after = self.proxy.meanwhile = None
            self.proxy.seen.clear()

    def settle(self) -> None:
        """No fault any more, and time for every retry; for a sweep only where one is needed."""
        self.proxy.disarm()
        for hours in (7, 25 if self.unseen else 7):
            self.clock.at += timedelta(hours=hours)
            self.run()
        self.unseen = False

    def everybody_again(self) -> int:
        """Every patient is marked and worked on; how many versions that wrote."""
        before = self.versions()
        with self.ledger() as ledger:
            now = int(self.clock.now().timestamp() * 1_000_000)
            for patient in self.patients:
                ledger.changed.mark_changed(patient, "person", now, not_before=now)
        self.run()
        return len(self.versions() ^ before)

    def repair(self, *, write: bool = True) -> tuple[Repaired, ...]:
        """`ledger repair`."""
        with self.patched(), patch.object(keeping, "bench", self._bench):
            return keeping.repair(self.settings, write=write)

    def versions(self) -> frozenset[Version]:
        """Of all that we write."""
        kinds = ("ResearchSubject", "GuidanceResponse", "Provenance", "Device", "Task")
        return self.server.versions(kinds)

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        found = open_ledger(self.settings.ledger, self.clock, site_key=self.settings.site_key)
        try:
            yield found
        finally:
            found.close()

    # -- people and the record -------------------------------------------------------------------

    def subjects(self, patient: str = "") -> list[dict[str, Any]]:
        found = list(self.server.store.all_of("ResearchSubject"))
        wanted = f"Patient/{patient}"
        return [one for one in found if not patient or one["individual"]["reference"] == wanted]

    def changes(self, one: Request, patient: str) -> bool:
        """Whether a request changes what stands for a patient."""
        ids = {str(found["id"]) for found in self.subjects(patient)}
        return is_change_of(one, "ResearchSubject") and one.path.rpartition("/")[2] in ids

    def change_patient(self, patient: str, **elements: Any) -> bool:
        """False where the record says so already."""
        now = self.server.store.get("Patient", patient).resource or {}
        kept = {name: value for name, value in {**now, **elements}.items() if value}
        if kept == {name: value for name, value in now.items() if value}:
            return False
        self.server.store.put(kept)
        notice(self, patient)
        return True

    def merge(self, old: str, new: str, *, both: bool) -> None:
        """The replaced record names the other; where ``both``, so does the survivor."""
        self.merged |= {old, new}
        ways = [(old, new, "replaced-by"), (new, old, "replaces")]
        for one, other, how in ways[: 1 + both]:
            link = {"type": how, "other": {"reference": f"Patient/{other}"}}
            known = self.server.store.get("Patient", one).resource or {}
            self.change_patient(one, link=[*known.get("link", []), link])
        for group in joined(self):
            if len(group) > 1:
                self.memory.seen.update({one: {0, 1} for one in group})
        self._spread_declines()

    def _spread_declines(self) -> None:
        declined = self.memory.with_declined | set(self.memory.declined)
        for group in joined(self):
            if len(group) > 1 and declined & set(group):
                self.memory.with_declined |= set(group)

    def unmerge(self) -> bool:
        """Every record is touched, as a master index does."""
        return sum(self.change_patient(one, link=None) for one in sorted(self.merged)) > 0

    def decline(self, patient: str) -> bool:
        """False where the patient has declined before."""
        if patient in self.memory.declined:
            return False
        self.memory.declined[patient] = machines(self, patient)
        self._spread_declines()
        with self.ledger() as ledger:
            ledger.decline(patients=[patient], study=STUDY, who="A. Nurse", role="coordinator")
        return True

    def _acted_on(self, patient: str) -> list[dict[str, Any]]:
        """The first that stands, in whichever order the server lists them: nobody opens again what
        was put away as the double of another."""
        every = self.subjects(patient)
        away = checks.put_away(self, every)
        return [one for one in every if str(one["id"]) not in away][:1]

    def person_changes(self, patient: str, **elements: Any) -> bool:
        """A person edits what stands for a patient; False where nothing does."""
        for one in self._acted_on(patient):
            edited = {**one, **elements}
            resource = {name: value for name, value in edited.items() if value is not None}
            if resource == one:
                return False
            made = self.server.store.put(resource)
            self.left[str(one["id"])] = plain(made.resource or {})
            return True
        return False

    def person_notes(self, patient: str, text: str, *, narrative: bool) -> bool:
        """R4 has no note here: an extension of the hospital, or the narrative."""
        for one in self._acted_on(patient):
            if narrative:
                div = f'<div xmlns="http://www.w3.org/1999/xhtml">{text}</div>'
                said = {"status": "additional", "div": div}
                made = self.server.store.put({**one, "text": said}).resource or {}
                self.narratives[str(one["id"])] = made["text"]
                if str(one["id"]) in self.left:
                    self.left[str(one["id"])] = plain(made)
                return True
            note = {"url": "https://hospital.example/note", "valueString": text}
            return self.person_changes(patient, extension=[*one.get("extension", []), note])
        return False

    def person_deletes(self, patient: str) -> bool:
        every = self.subjects(patient)
        for one in every[:1]:
            known = self.server.tells_history or self._has_heard_of(one)
            self.server.store.delete("ResearchSubject", str(one["id"]))
            self.left.pop(str(one["id"]), None)
            self.narratives.pop(str(one["id"]), None)
            if any(str(other["id"]) not in self.opened for other in every[1:]):
                self.half_deleted.add(patient)
            elif str(one["id"]) not in self.opened and known:
                self.deleted.add(patient)
            return True
        return False

    def _has_heard_of(self, subject: dict[str, Any]) -> bool:
        """Else a create that was killed and whose outcome was then deleted looks like none at all:
        only the server's history tells (docs/decisions/0007-no-delete.md)."""
        with self.ledger() as ledger:
            rows = ledger.subjects_in(STUDY)
        return any(row.reference == f"ResearchSubject/{subject['id']}" for row in rows)

    def person_opens_again(self, patient: str, **elements: Any) -> bool:
        """Attempt n+1, beside what people closed; False where nothing is closed."""
        every = self.subjects(patient)
        if not every or not all(self._is_closed_by_a_person(one) for one in every):
            return False
        number = f"{patient}-attempt-{len(self.opened)}"
        first = {name: every[0][name] for name in ("resourceType", "study", "individual")}
        made = self.server.store.put({**first, "id": number, **elements})
        self.opened.add(number)
        self.left[number] = plain(made.resource or {})
        return True

    def _is_closed_by_a_person(self, subject: dict[str, Any]) -> bool:
        return str(subject["id"]) in self.left and subject["status"] in ENDED

    def run_beside_another_writer(self) -> bool:
        """The first create meets another writer's, and the server keeps both; False where none is.

        A race that a server without a safe conditional create loses.
        """
        met = list[Request]()

        def creates(one: Request) -> bool:
            return is_create_of(one, "ResearchSubject")

        def other() -> None:
            made = self.server.store.create(json.loads(met[-1].body)).resource
            self.twinned.add(patient_of(made))
            target = [{"reference": f"ResearchSubject/{made['id']}"}]
            for device in list(self.server.store.all_of("Device"))[:1]:
                agent = [{"who": {"reference": f"Device/{device['id']}"}}]
                proof = {"recorded": self.clock.now().isoformat(), "target": target, "agent": agent}
                self.server.store.create({"resourceType": "Provenance", **proof})

        armed = self.proxy.arm(double_create(), on=creates, times=1)
        self.proxy.meanwhile = (lambda one: creates(one) and not met.append(one), other)
        self.run()
        self.proxy.armed = [one for one in self.proxy.armed if one is not armed]
        return bool(met)

    # -- what must hold --------------------------------------------------------------------------

    def check(self) -> None:
        """At any moment."""
        checks.at_any_moment(self)

    def check_settled(self) -> Counter[str]:
        """After every fault is over; how many patients were checked, and how many were not."""
        return checks.settled(self)

    def check_repaired(self) -> None:
        """After `ledger repair`."""
        checks.repaired(self)

    def opted_out(self, patient: str) -> bool:
        number = f"{patient}.optout"
        return self.server.store.has("Consent", number)

    def opt_out(self, patient: str, *, out: bool) -> bool:
        """False where it stands so already."""
        if out == self.opted_out(patient):
            return False
        number = f"{patient}.optout"
        if not out:
            self.unseen = True
            self.server.store.delete("Consent", number)
            notice(self, patient)
            return True
        scope = {"coding": [{"system": _SCOPES, "code": "research"}]}
        self.server.store.put(
            {
                "resourceType": "Consent",
                "id": number,
                "status": "active",
                "scope": scope,
                "category": [{"text": "research"}],
                "policyRule": {"text": "opt-out"},
                "patient": {"reference": f"Patient/{patient}"},
                "provision": {"type": "deny"},
            }
        )
        notice(self, patient)
        return True


_SCOPES = "http://terminology.hl7.org/CodeSystem/consentscope"
PERSON = {"extension": [{"url": SET_BY, "valueCode": "person"}]}


def _narrative(text: str) -> dict[str, str]:
    div = f'<div xmlns="http://www.w3.org/1999/xhtml">{text}</div>'
    return {"status": "additional", "div": div}
