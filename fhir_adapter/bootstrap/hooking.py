"""The hook's wiring: one patient from a client's prefetch, every study at once, in time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLate
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from fhir_adapter.alerting import Dismissal, Shown
from fhir_adapter.bootstrap.judging import Bench
from fhir_adapter.errors import ServerFault, ServerUnreachable
from fhir_adapter.evaluate.case import Case
from fhir_adapter.evaluate.many import ManyStudies
from fhir_adapter.fhir.reading import is_object
from fhir_adapter.ledger import Ledger, Remembered, StoredCard
from fhir_adapter.model.decision import Decision
from fhir_adapter.model.fact import PatientRecord
from fhir_adapter.ports import Need, Pulled, Resource
from fhir_adapter.pull.prefetch import PrefetchRecord, Words, read, templates
from fhir_adapter.pull.record import ServerRecords
from fhir_adapter.screening import AsOf, Screened, alertable, screen_facts, with_answers

HOOK_DEADLINE = 0.4
"""Seconds that completing a prefetch may take: an EHR waits about half a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What one call of the hook found."""

    screened: Sequence[Screened]
    """Studies that may alert, judged in full."""
    known: Remembered

    def dismissals(self, study: str) -> tuple[Dismissal, ...]:
        """Cards about this study that were put away."""
        return tuple(
            Dismissal(
                who=row.who, reason=row.reason, fingerprint=row.fingerprint, at=row.dismissed_at
            )
            for row in self.known.dismissals
            if row.study == study
        )

    def shown(self, study: str) -> tuple[Shown, ...]:
        """Cards about this study that were shown in this encounter."""
        return tuple(
            Shown(encounter=row.encounter, fingerprint=row.fingerprint)
            for row in self.known.cards
            if row.study == study
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HookDesk:
    """What a call of the hook is answered from; used by many threads."""

    benches: tuple[Bench, ...]
    many: ManyStudies
    needs: tuple[Need, ...]
    """What all studies together ask of a record."""
    records: Callable[[], ServerRecords]
    ledger: Ledger
    words: Words
    """How the registered server, and so its client, names a search."""
    in_r4: Callable[[Resource], Resource]
    """What was prefetched, in R4; ServerFault for what cannot be told in it."""
    moment: Callable[[], AsOf]
    """When the question is asked: now, or the service's own moment."""
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(4))

    def templates(self) -> dict[str, str]:
        """Prefetch templates of the hook."""
        return templates(self.needs, self.words)

    def screen(
        self, patient: str, prefetch: dict[str, Any], *, may_fetch: bool, encounter: str = ""
    ) -> Asked:
        """One patient from a client's prefetch, the rest from the registered server in time.

        Read, normalised and looked up once for all studies. Only studies all of whose gates may
        fit are judged in full: the others make no card.
        """
        names = ("Patient", *dict.fromkeys(need.resource_type for need in self.needs))
        sent = read(self._understood(prefetch), names)
        source = PrefetchRecord(sent, self._in_time if may_fetch else None)
        pulled = source.pull(patient, self.needs)
        record = self.benches[0].screener.normalise(pulled)
        moment = self.moment()
        likely = alertable(self.many, [one.screener for one in self.benches], record, moment)
        known = self.ledger.alerts.remembered((patient, *record.aliases), encounter)
        # a person's answers can open a gate that data keep shut: such studies are judged whole
        found = [
            self._screen_knowing(one, record, moment, known, likely.get(number))
            for number, one in enumerate(self.benches)
            if number in likely or one.package.study.id in known.answered
        ]
        return Asked(screened=found, known=known)

    def _understood(self, prefetch: Mapping[str, Any]) -> dict[str, Any]:
        """In R4; what cannot be told in it counts as left out, and is asked for."""
        found = dict[str, Any]()
        for key, value in prefetch.items():
            if not is_object(value) or "resourceType" not in value:
                found[key] = value
                continue
            with suppress(ServerFault):
                found[key] = self.in_r4(value)
        return found

    def _screen_knowing(
        self, one: Bench, record: PatientRecord, moment: AsOf, known: Remembered, case: Case | None
    ) -> Screened:
        """Judge with what the ledger was asked for already."""

        def declined(study: str, _ids: Iterable[str]) -> bool:
            return study in known.declined

        refusals = replace(one.screener.refusals, declined=declined)
        screener = replace(one.screener, refusals=refusals)
        if one.package.study.id in known.answered:
            record = with_answers(screener, record)
        return screen_facts(screener, record, moment, case)

    def _in_time(self, patient: str, needs: Sequence[Need]) -> Pulled:
        work = self._pool.submit(self.records().pull, patient, needs)
        try:
            return work.result(timeout=HOOK_DEADLINE)
        except TooLate:
            work.cancel()
            raise ServerUnreachable(
                "the record server did not answer within the deadline of the hook",
                where="prefetch",
                remedy="Let the client prefetch more.",
            ) from None

    def remember_cards(
        self, decisions: Sequence[Decision], uuid: str, *, who: str, encounter: str
    ) -> None:
        """These decisions are about to be shown on one card, together."""
        alerts = self.ledger.alerts
        now = alerts.now()
        alerts.remember_cards(
            [
                StoredCard(
                    card=f"{uuid}/{one.study}",
                    study=one.study,
                    patient=one.patient,
                    encounter=encounter,
                    who=who,
                    fingerprint="" if one.hashes is None else one.hashes.alert,
                    shown_at=now,
                )
                for one in decisions
            ]
        )

    def close(self) -> None:
        """Stop the workers that fetch what a client left out."""
        self._pool.shutdown(wait=False, cancel_futures=True)
