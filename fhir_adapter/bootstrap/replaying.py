"""Stored decisions made again, byte for byte, or why that cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from fhir_adapter.bootstrap.judging import Bench, bench, study_package
from fhir_adapter.errors import StudyNotFound
from fhir_adapter.ledger import Basis, Ledger, StoredDecision, unpacked
from fhir_adapter.model.fact import FACTS_SCHEMA
from fhir_adapter.model.hashing import canonical
from fhir_adapter.screening import Refusals, screen_facts
from fhir_adapter.settings import Settings
from fhir_adapter.version import __version__

SAME, DIFFERS, CANNOT = "same", "differs", "cannot"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What came of one stored decision."""

    decision: int
    run: str
    study: str
    as_of: int
    recorded_at: int
    outcome: str
    result: str
    """same, differs, or cannot."""
    reasons: tuple[str, ...] = ()
    """Why it cannot be made again: all that is no longer as it was."""


@dataclass(slots=True, kw_only=True)
class Replaying:
    """Each study is made ready once."""

    settings: Settings
    ledger: Ledger
    _benches: dict[str, Bench | None] = field(default_factory=dict[str, Bench | None])

    def run(
        self, *, decision: int | None = None, patient: str | None = None, study: str | None = None
    ) -> Iterator[Replayed]:
        """Those that are asked for, in order of recording."""
        for one in self.ledger.decisions.stored(decision=decision, patient=patient, study=study):
            yield self._replayed(one)

    def _replayed(self, stored: StoredDecision) -> Replayed:
        found = self._bench(stored.study)
        reasons = tuple(_reasons(stored, found))
        result = CANNOT
        if not reasons and found is not None and stored.on is not None:
            result = SAME if _again(stored, stored.on, found) == stored.body else DIFFERS
        return Replayed(
            decision=stored.id,
            run=stored.run,
            study=stored.study,
            as_of=stored.as_of,
            recorded_at=stored.recorded_at,
            outcome=stored.outcome.value,
            result=result,
            reasons=reasons,
        )

    def _bench(self, study: str) -> Bench | None:
        """The study of that id: among those of the settings, else by its name."""
        if not self._benches:
            for one in self.settings.each_study():
                made = bench(one)
                self._benches[made.package.study.id] = made
        if study not in self._benches:
            try:
                self._benches[study] = bench(replace(self.settings, study=study))
            except StudyNotFound:
                self._benches[study] = None
        return self._benches[study]


def study_id_of(settings: Settings) -> str:
    """The id under which decisions of the settings' study are stored."""
    try:
        return study_package(settings).study.id
    except StudyNotFound:
        return settings.study


def _reasons(stored: StoredDecision, found: Bench | None) -> Iterator[str]:
    on = stored.on
    if on is None:
        yield "recorded-by-older-ledger"
    elif not stored.listed:
        yield "never-kept"
    elif stored.body is None or stored.record is None:
        yield "values-forgotten"
    if found is None:
        yield "study-not-found"
    elif stored.study_hash != found.screener.study_hash:
        yield "study-changed"
    if on is not None:
        yield from _changes(on, found)


def _changes(on: Basis, found: Bench | None) -> Iterator[str]:
    if found is not None and on.mappings != found.mappings.version:
        yield "mappings-changed"
    if on.engine != __version__:
        yield "engine-changed"
    if on.facts_schema != FACTS_SCHEMA:
        yield "facts-schema-changed"


def _again(stored: StoredDecision, on: Basis, found: Bench) -> bytes:
    """Nothing but what was kept goes in: neither the clock nor what people have said since."""
    assert stored.record is not None
    screener = replace(
        found.screener,
        basis=on.basis,
        answers=None,
        refusals=Refusals(
            declined=lambda _study, _ids: on.declined, opted_out=lambda _ids: on.opted_out
        ),
    )
    return canonical(screen_facts(screener, unpacked(stored.record), stored.as_of).decision)
