"""Alerts in the ledger: cards shown, dismissals, tokens already used. Each call one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import Engine, Table, delete, select
from sqlalchemy.dialects.sqlite import insert

from fhir_adapter.ledger.database import transaction
from fhir_adapter.ledger.rows import StoredCard, StoredDismissal
from fhir_adapter.ledger.tables import CARDS, DISMISSALS, USED_TOKENS
from fhir_adapter.model.dates import instant
from fhir_adapter.ports import Clock


class AlertLedger:
    """What the hook must remember between two calls; over the engine of a ledger."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def remember_card(
        self, *, card: str, study: str, patient: str, encounter: str, who: str, fingerprint: str
    ) -> None:
        """A card is about to be shown."""
        row = {
            "card": card,
            "study": study,
            "patient": patient,
            "encounter": encounter,
            "who": who,
            "fingerprint": fingerprint,
            "shown_at": self._now(),
        }
        self._add(CARDS, row)

    def cards(self, card: str) -> tuple[StoredCard, ...]:
        """The cards shown under this id: one per study that it told about."""
        wanted = select(CARDS).where(CARDS.c.card.startswith(card, autoescape=True))
        with transaction(self._engine) as connection:
            return tuple(StoredCard(**row) for row in connection.execute(wanted).mappings())

    def cards_of(self, study: str, patients: Iterable[str]) -> tuple[StoredCard, ...]:
        """Cards shown about these ids of one patient, oldest first."""
        wanted = (
            select(CARDS)
            .where(CARDS.c.study == study, CARDS.c.patient.in_(sorted(set(patients))))
            .order_by(CARDS.c.shown_at, CARDS.c.card)
        )
        with transaction(self._engine) as connection:
            return tuple(StoredCard(**row) for row in connection.execute(wanted).mappings())

    def dismiss(self, card: StoredCard, *, reason: str) -> bool:
        """Somebody put a card away; False where that is known already."""
        row = {
            "card": card.card,
            "study": card.study,
            "patient": card.patient,
            "who": card.who,
            "fingerprint": card.fingerprint,
            "reason": reason,
            "dismissed_at": self._now(),
        }
        return self._add(DISMISSALS, row)

    def dismissals_of(self, study: str, patients: Iterable[str]) -> tuple[StoredDismissal, ...]:
        """Dismissals about these ids of one patient, oldest first."""
        wanted = (
            select(DISMISSALS)
            .where(DISMISSALS.c.study == study, DISMISSALS.c.patient.in_(sorted(set(patients))))
            .order_by(DISMISSALS.c.dismissed_at, DISMISSALS.c.card)
        )
        with transaction(self._engine) as connection:
            return tuple(StoredDismissal(**row) for row in connection.execute(wanted).mappings())

    def use_token(self, issuer: str, token: str, *, expires_at: int) -> bool:
        """Mark a token as used; False where it was used before. Expired ones are forgotten."""
        old = delete(USED_TOKENS).where(USED_TOKENS.c.expires_at < self._now())
        row = {"issuer": issuer, "token": token, "expires_at": expires_at}
        wanted = insert(USED_TOKENS).values(**row).on_conflict_do_nothing()
        with transaction(self._engine) as connection:
            connection.execute(old)
            return connection.execute(wanted).rowcount == 1

    def _now(self) -> int:
        return instant(self._clock.now())

    def _add(self, table: Table, row: Mapping[str, object]) -> bool:
        wanted = insert(table).values(**row).on_conflict_do_nothing()
        with transaction(self._engine) as connection:
            return connection.execute(wanted).rowcount == 1
