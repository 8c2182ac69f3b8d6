"""People's answers and entered values: from what a person said to a Fact, and to a row and back."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import RowMapping

from fhir_adapter.errors import InternalFault, SettingInvalid
from fhir_adapter.model.code import Code, key_of
from fhir_adapter.model.dates import instant
from fhir_adapter.model.fact import FACTS_SCHEMA, Fact, Kind

_KINDS = frozenset((Kind.ANSWER, Kind.ENTERED))


def answer_fact(*, patient: str, study: str, question: Code, value: Code, at: datetime) -> Fact:
    """An answer at one moment; the local date is the one of the zone in which ``at`` is given."""
    if at.utcoffset() is None:
        raise InternalFault("an answer without a time zone")
    moment, day = instant(at), at.toordinal()
    return Fact(
        patient=patient,
        kind=Kind.ANSWER,
        source="",
        concepts=(question,),
        start_lo=moment,
        start_hi=moment + 1,
        end_lo=moment,
        end_hi=moment + 1,
        start_date_lo=day,
        start_date_hi=day,
        end_date_lo=day,
        end_date_hi=day,
        date_source="answered",
        known_from=moment,
        value_concepts=(value,),
        study=study,
        set_by="person",
    )


def row_of(
    fact: Fact, *, study: str, who: str, role: str, document: str, given_at: int
) -> dict[str, Any]:
    """The row of a fact given by a person; its source is made of the row's number when read."""
    if fact.kind not in _KINDS or not fact.concepts:
        raise InternalFault("only an answer or an entered value with a code is kept here")
    kept = msgspec.structs.replace(fact, source="", set_by="person", study=study)
    return {
        "kind": fact.kind.value,
        "patient": fact.patient,
        "study": study,
        "question": key_of(fact.concepts[0]),
        "value": _value_of(fact),
        "who": who,
        "role": role,
        "document": document,
        "given_at": given_at,
        "facts_schema": FACTS_SCHEMA,
        "fact": msgspec.json.encode(kept).decode(),
    }


def _value_of(fact: Fact) -> str:
    if fact.value_concepts:
        return key_of(fact.value_concepts[0])
    return f"{fact.raw_value or fact.value_lo or ''} {fact.raw_unit or fact.unit}".strip()


def fact_of(row: RowMapping) -> Fact:
    """The fact as given, its source naming kind and number: ``answer/7``."""
    if row["facts_schema"] != FACTS_SCHEMA:
        raise SettingInvalid(
            f"ledger-facts: an answer was kept with facts schema {row['facts_schema']}, this"
            f" version reads {FACTS_SCHEMA}",
            where="ledger",
            remedy="Install the fhir-adapter that wrote it.",
        )
    fact = msgspec.json.decode(row["fact"], type=Fact)
    return msgspec.structs.replace(fact, source=f"{fact.kind.value}/{row['id']}")
