"""Alerts in the ledger: cards shown, dismissals, tokens already used. Each call one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

from sqlalchemy import BindParameter, Engine, Table, bindparam, delete, select

from fhir_adapter.ledger.database import reading, transaction
from fhir_adapter.ledger.dialect import insert
from fhir_adapter.ledger.names import Names
from fhir_adapter.ledger.rows import Remembered, StoredAcceptance, StoredCard, StoredDismissal
from fhir_adapter.ledger.tables import (
    ACCEPTANCES,
    ANSWERS,
    CARDS,
    DECLINES,
    DISMISSALS,
    USED_TOKENS,
)
from fhir_adapter.model.dates import instant
from fhir_adapter.ports import Clock

_IDS: BindParameter[list[str]] = bindparam("ids", expanding=True)
_ANSWERED = select(ANSWERS.c.study).where(ANSWERS.c.patient.in_(_IDS)).distinct()
_DECLINED = select(DECLINES.c.study).where(DECLINES.c.patient.in_(_IDS)).distinct()
_SHOWN = (
    select(CARDS)
    .where(CARDS.c.patient.in_(_IDS), CARDS.c.encounter == bindparam("encounter"))
    .order_by(CARDS.c.shown_at, CARDS.c.card)
)
_PUT_AWAY = (
    select(DISMISSALS)
    .where(DISMISSALS.c.patient.in_(_IDS))
    .order_by(DISMISSALS.c.dismissed_at, DISMISSALS.c.card)
)


class AlertLedger:
    """What the hook must remember between two calls; over the engine of a ledger."""

    def __init__(self, engine: Engine, clock: Clock, names: Names) -> None:
        self._engine = engine
        self._clock = clock
        self._names = names

    def remember_cards(self, cards: Sequence[StoredCard]) -> None:
        """These cards are about to be shown; one that is known already stays as it was."""
        wanted = insert(self._engine, CARDS).on_conflict_do_nothing()
        with transaction(self._engine) as connection:
            connection.execute(wanted, [asdict(one) for one in cards])

    def remembered(self, patients: Iterable[str], encounter: str) -> Remembered:
        """All that the hook needs to know of these ids of one patient, read at one moment.

        Of the cards only those of this encounter; none where none is named.
        """
        ids = sorted(set(patients))
        here = {"ids": ids, "encounter": encounter}
        with reading(self._engine) as connection:
            names = list(self._names.of(connection, ids))
            return Remembered(
                answered=frozenset(connection.scalars(_ANSWERED, {"ids": ids})),
                declined=frozenset(connection.scalars(_DECLINED, {"ids": names})),
                cards=tuple(
                    StoredCard(**row)
                    for row in (connection.execute(_SHOWN, here).mappings() if encounter else ())
                ),
                dismissals=tuple(
                    StoredDismissal(**row)
                    for row in connection.execute(_PUT_AWAY, {"ids": ids}).mappings()
                ),
            )

    def cards(self, card: str) -> tuple[StoredCard, ...]:
        """The cards shown under this id: one per study that it told about."""
        wanted = select(CARDS).where(CARDS.c.card.startswith(card, autoescape=True))
        with reading(self._engine) as connection:
            return tuple(StoredCard(**row) for row in connection.execute(wanted).mappings())

    def dismiss(self, card: StoredCard, *, reason: str) -> bool:
        """Somebody put a card away; False where that is known already."""
        row = {**_about(card), "reason": reason, "dismissed_at": self.now()}
        return self._add(DISMISSALS, row)

    def accept(self, card: StoredCard) -> bool:
        """A client reported a card as accepted; False where that is known already."""
        return self._add(ACCEPTANCES, {**_about(card), "accepted_at": self.now()})

    def acceptances(self, card: str) -> tuple[StoredAcceptance, ...]:
        """What was accepted under this id: one per study that the card told about."""
        wanted = select(ACCEPTANCES).where(ACCEPTANCES.c.card.startswith(card, autoescape=True))
        with reading(self._engine) as connection:
            return tuple(StoredAcceptance(**row) for row in connection.execute(wanted).mappings())

    def use_token(self, issuer: str, token: str, *, expires_at: int) -> bool:
        """Mark a token as used; False where it was used before. Expired ones are forgotten."""
        old = delete(USED_TOKENS).where(USED_TOKENS.c.expires_at < self.now())
        row = {"issuer": issuer, "token": token, "expires_at": expires_at}
        wanted = insert(self._engine, USED_TOKENS).values(**row).on_conflict_do_nothing()
        with transaction(self._engine) as connection:
            connection.execute(old)
            return connection.execute(wanted).rowcount == 1

    def now(self) -> int:
        """The instant that rows written now carry."""
        return instant(self._clock.now())

    def _add(self, table: Table, row: Mapping[str, object]) -> bool:
        wanted = insert(self._engine, table).values(**row).on_conflict_do_nothing()
        with transaction(self._engine) as connection:
            return connection.execute(wanted).rowcount == 1


def _about(card: StoredCard) -> dict[str, object]:
    """What every row about a card repeats of it."""
    return {
        "card": card.card,
        "study": card.study,
        "patient": card.patient,
        "who": card.who,
        "fingerprint": card.fingerprint,
    }
