"""PatientRecord -> fact tables, and back: equal after the round trip.

Types follow from the fields of ``Fact``; ``model.tables`` says what is stored besides. The codings
of the facts (``fact_concept``) are worked out from the fact table, so that they cannot differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from fhir_adapter.errors import RecordFault
from fhir_adapter.model.code import Code
from fhir_adapter.model.fact import (
    Fact,
    Kind,
    PatientRecord,
    Retrieved,
    Standing,
    last_end,
    last_start,
)
from fhir_adapter.model.tables import (
    CONCEPT_ROLE,
    DERIVED,
    KIND_NUMBER,
    KINDS,
    SEQ_LIMIT,
    STANDING_NUMBER,
    VALUE_ROLE,
)
from fhir_adapter.model.truth import Reason
from fhir_adapter.warehouse.arrow import Table, pa, pc
from fhir_adapter.warehouse.dictionary import Dictionary

Tables = dict[str, Table]
"""Table name -> its rows."""

_BATCH = 8192
_STANDINGS = {number: standing for standing, number in STANDING_NUMBER.items()}
_DECIMAL = pa.decimal128(28, 9)
_CODES = pa.list_(pa.int32())
_TEXTS = pa.list_(pa.string())
_TYPES: dict[Any, Any] = {
    int: pa.int64(),
    int | None: pa.int32(),
    str: pa.string(),
    bool: pa.bool_(),
    Decimal | None: _DECIMAL,
    Kind: pa.int8(),
    Standing: pa.int8(),
    Reason | None: pa.int8(),
    tuple[Code, ...]: _CODES,
    tuple[str, ...]: _TEXTS,
}
_FIELDS = {field.name: field.type for field in msgspec.structs.fields(Fact)}
_INT32 = frozenset(("patient", "seq", "visit", "systems"))


def _type(name: str) -> Any:
    if name in _INT32 or (_FIELDS.get(name) is int and "_date_" in name):
        return pa.int32()
    return _TYPES[_FIELDS.get(name, int)]


FACT = pa.schema([pa.field(name, _type(name)) for name in (*_FIELDS, *DERIVED)])
FACT_CONCEPT = pa.schema(
    [
        pa.field("concept", pa.int32()),
        pa.field("role", pa.int8()),
        pa.field("kind", pa.int8()),
        pa.field("patient", pa.int32()),
        pa.field("start_lo", pa.int64()),
        pa.field("seq", pa.int32()),
    ]
)
PATIENT = pa.schema(
    [
        pa.field("patient", pa.int32()),
        pa.field("id", pa.string()),
        pa.field("resources", pa.int32()),
        pa.field("issues", _TEXTS),
    ]
)
ALIAS = pa.schema([pa.field("patient", pa.int32()), pa.field("id", pa.string())])
RETRIEVED = pa.schema(
    [
        pa.field("patient", pa.int32()),
        pa.field("kind", pa.int8()),
        pa.field("complete", pa.bool_()),
        pa.field("date_from", pa.int32()),
        pa.field("date_to", pa.int32()),
        pa.field("why_not", pa.string()),
    ]
)
CONCEPT = pa.schema(
    [
        pa.field("concept", pa.int32()),
        pa.field("system", pa.string()),
        pa.field("code", pa.string()),
    ]
)
CODING_SYSTEMS = pa.schema([pa.field("systems", pa.int32()), pa.field("system", pa.string())])
SCHEMAS: Mapping[str, Any] = {
    "fact": FACT,
    "fact_concept": FACT_CONCEPT,
    "patient": PATIENT,
    "alias": ALIAS,
    "retrieved": RETRIEVED,
    "concept": CONCEPT,
    "coding_systems": CODING_SYSTEMS,
}


class Rows:
    """Collects records; ``tables`` gives them as Arrow. Objects are turned into columns early."""

    def __init__(self, dictionary: Dictionary) -> None:
        self._dictionary = dictionary
        self._facts: list[Fact] = []
        self._derived: list[tuple[int, int, int]] = []
        self._batches: list[Any] = []
        self._patients: list[tuple[int, str, int, tuple[str, ...]]] = []
        self._aliases: list[tuple[int, str]] = []
        self._retrieved: list[tuple[int, Retrieved]] = []

    def add(self, number: int, record: PatientRecord) -> None:
        """One record under its patient number; numbers come in rising order."""
        facts = sorted(record.facts, key=newest_first)
        if len(facts) >= SEQ_LIMIT:
            raise RecordFault(
                f"one record has {len(facts)} facts, more than a table holds",
                where="fact tables",
                remedy="Leave this patient out of the export; nobody has a record of that size.",
            )
        visits: dict[str, int] = {}
        for seq, fact in enumerate(facts, 1):
            self._derived.append((number, seq, _visit(fact, visits)))
        self._facts += facts
        self._patients.append((number, record.patient, record.resources, record.issues))
        self._aliases += [(number, alias) for alias in record.aliases]
        self._retrieved += [(number, row) for row in record.retrieved]
        if len(self._facts) >= _BATCH:
            self._flush()

    def tables(self) -> Tables:
        """All tables of these patients but the codings."""
        self._flush()
        return {
            "fact": pa.Table.from_batches(self._batches, schema=FACT),
            "patient": _from_rows(PATIENT, self._patients),
            "alias": _from_rows(ALIAS, self._aliases),
            "retrieved": _from_rows(RETRIEVED, [_retrieved(*row) for row in self._retrieved]),
        }

    def _flush(self) -> None:
        self._batches.append(_batch(self._facts, self._derived, self._dictionary))
        self._facts, self._derived = [], []


def newest_first(fact: Fact) -> tuple[int, str]:
    """The order in which facts of a patient are numbered, and shown where several could be."""
    return -fact.start_lo, fact.source


def _visit(fact: Fact, visits: dict[str, int]) -> int:
    if not fact.encounter:
        return -fact.start_date_hi
    return visits.setdefault(fact.encounter, len(visits) + 1)


def _batch(
    facts: Sequence[Fact], derived: Sequence[tuple[int, int, int]], dictionary: Dictionary
) -> Any:
    if not facts:
        return pa.RecordBatch.from_pylist([], schema=FACT)
    fields = zip(*map(msgspec.structs.astuple, facts), strict=True)
    sent = dict(zip(_FIELDS, fields, strict=True))
    entries = [dictionary.entry(codes) for codes in sent["concepts"]]
    patients, seqs, visits = zip(*derived, strict=True)
    ready: dict[str, Sequence[Any]] = {
        **sent,
        "patient": patients,
        "kind": [KIND_NUMBER[kind] for kind in sent["kind"]],
        "concepts": [codes for codes, _ in entries],
        "value_concepts": [dictionary.entry(codes)[0] for codes in sent["value_concepts"]],
        "standing": [STANDING_NUMBER[standing] for standing in sent["standing"]],
        "seq": seqs,
        "visit": visits,
        "last_start": [last_start(fact) for fact in facts],
        "last_end": [last_end(fact) for fact in facts],
        "systems": [systems for _, systems in entries],
    }
    columns = [pa.array(ready[field.name], field.type) for field in FACT]
    return pa.record_batch(columns, schema=FACT)


def _retrieved(number: int, row: Retrieved) -> tuple[object, ...]:
    kind = KIND_NUMBER[row.kind]
    return number, kind, row.complete, row.date_from, row.date_to, row.why_not


def _from_rows(schema: Any, rows: Sequence[tuple[object, ...]]) -> Table:
    columns = zip(*rows, strict=True) if rows else ((),) * len(schema)
    arrays = [
        pa.array(list(column), field.type) for column, field in zip(columns, schema, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def codings(fact: Table) -> Table:
    """``fact_concept`` of a fact table: each code once per fact and role, sorted."""
    about = _codings(fact, "concepts", CONCEPT_ROLE)
    values = _codings(fact, "value_concepts", VALUE_ROLE)
    both = pa.concat_tables([about, values])
    return (
        both.group_by(both.column_names, use_threads=False)
        .aggregate([])
        .sort_by(
            [(name, "ascending") for name in ("concept", "patient", "start_lo", "seq", "role")]
        )
    )


def _codings(fact: Table, column: str, role: int) -> Table:
    lists = fact[column].combine_chunks()
    at = pc.list_parent_indices(lists)
    taken = {name: fact[name].take(at) for name in ("kind", "patient", "start_lo", "seq")}
    taken["concept"] = pc.list_flatten(lists)
    taken["role"] = pa.repeat(pa.scalar(role, pa.int8()), len(at))
    return pa.table({name: taken[name] for name in FACT_CONCEPT.names}, schema=FACT_CONCEPT)


def recoded(fact: Table, codes: Sequence[int], systems: Sequence[int]) -> Table:
    """A fact table in other numbers: ``codes[old]`` and ``systems[old]`` are the new ones."""
    code_numbers, system_numbers = pa.array(codes, pa.int32()), pa.array(systems, pa.int32())
    for name in ("concepts", "value_concepts"):
        lists = fact[name].combine_chunks()
        values = code_numbers.take(lists.flatten())
        made = pa.ListArray.from_arrays(lists.offsets, values, type=_CODES)
        fact = fact.set_column(fact.column_names.index(name), FACT.field(name), made)
    at = fact.column_names.index("systems")
    return fact.set_column(at, FACT.field("systems"), system_numbers.take(fact["systems"]))


def dictionary_tables(dictionary: Dictionary) -> Tables:
    """The two tables of the whole store."""
    codes = [(number, *code) for number, code in enumerate(dictionary.codes, 1)]
    systems = [
        (number, system)
        for number, systems in enumerate(dictionary.systems, 1)
        for system in systems
    ]
    return {
        "concept": _from_rows(CONCEPT, codes),
        "coding_systems": _from_rows(CODING_SYSTEMS, systems),
    }


def dictionary_of(concept: Table, coding_systems: Table) -> Dictionary:
    """The dictionary that was stored."""
    codes = [Code(row["system"], row["code"]) for row in concept.sort_by("concept").to_pylist()]
    systems: dict[int, list[str]] = {}
    for row in coding_systems.to_pylist():
        systems.setdefault(row["systems"], []).append(row["system"])
    return Dictionary(codes, [tuple(sorted(systems[number])) for number in sorted(systems)])


def records_of(
    tables: Mapping[str, Table], dictionary: Dictionary, patients: Iterable[int] | None = None
) -> Iterator[PatientRecord]:
    """Records from their tables, in the order of the patient table; all, or those numbered."""
    only = None if patients is None else pa.array(sorted(patients), pa.int32())
    some = {name: _only(tables[name], only) for name in ("patient", "alias", "retrieved", "fact")}
    ids = {row["patient"]: row["id"] for row in some["patient"].to_pylist()}
    facts = _grouped(some["fact"].sort_by([("patient", "ascending"), ("seq", "ascending")]))
    aliases, retrieved = _grouped(some["alias"]), _grouped(some["retrieved"])
    for row in some["patient"].to_pylist():
        number = row["patient"]
        found = [_fact(one, ids[number], dictionary) for one in facts.get(number, ())]
        yield PatientRecord(
            patient=row["id"],
            facts=tuple(sorted(found, key=_in_record)),
            retrieved=tuple(_pulled(one, row["id"]) for one in retrieved.get(number, ())),
            aliases=tuple(one["id"] for one in aliases.get(number, ())),
            resources=row["resources"],
            issues=tuple(row["issues"]),
        )


def _only(table: Table, numbers: Any) -> Table:
    return table if numbers is None else table.filter(pc.is_in(table["patient"], numbers))


def _grouped(table: Table) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = {}
    for row in table.to_pylist():
        found.setdefault(row["patient"], []).append(row)
    return found


def _kind(number: int) -> Kind:
    return KINDS[number - 1]


def _in_record(fact: Fact) -> tuple[str, int, str]:
    return fact.kind.value, fact.start_lo, fact.source


_READ: Mapping[str, Callable[[Any], Any]] = {
    "kind": _kind,
    "standing": _STANDINGS.__getitem__,
    "standing_reason": lambda number: None if number is None else Reason(number),
    "issues": tuple,
}


def _fact(row: Mapping[str, Any], patient: str, dictionary: Dictionary) -> Fact:
    given = {name: row[name] for name in _FIELDS}
    for name, read in _READ.items():
        given[name] = read(row[name])
    for name in ("concepts", "value_concepts"):
        given[name] = dictionary.decoded(row[name])
    given["patient"] = patient
    return Fact(**given)


def _pulled(row: Mapping[str, Any], patient: str) -> Retrieved:
    return Retrieved(
        patient=patient,
        kind=_kind(row["kind"]),
        complete=row["complete"],
        date_from=row["date_from"],
        date_to=row["date_to"],
        why_not=row["why_not"],
    )
