"""Table ``p``: one row per patient with what several criteria ask of the record as a whole.

The moment asked about, the current stay, what was pulled whole, which kinds and code systems
exist, whether the patient is known here, what is denied outright, the newest outside document, and
the facts about the person. Only columns that some criterion reads are worked out.
"""

from __future__ import annotations

from collections.abc import Iterable

from fhir_adapter.evaluate.absence import KNOWN_DAYS
from fhir_adapter.evaluate.cohort.inputs import BITS, EVERY_CODE, Inputs
from fhir_adapter.evaluate.cohort.script import every, greatest, least, text
from fhir_adapter.model.code import Code
from fhir_adapter.model.dates import DATE_LATEST
from fhir_adapter.model.decision import Stop
from fhir_adapter.model.fact import Kind, Standing
from fhir_adapter.model.participation import ON_STUDY
from fhir_adapter.model.tables import CONCEPT_ROLE, KIND_NUMBER, STANDING_NUMBER, VALUE_ROLE
from fhir_adapter.model.vocabulary import (
    ACT_CODE,
    ADMISSION_CLASSES,
    DECEASED,
    FEMALE,
    MALE,
    PARTICIPATION,
    RESEARCH_DENY,
    RESEARCH_PERMIT,
    RESTRICTED,
    SEX,
    SUPERSEDED,
    TEST_RECORD,
)

ROW = (
    "patient", "seq", "kind", "start_lo", "start_hi", "last_start", "start_date_lo",
    "start_date_hi", "end_lo", "end_hi", "last_end", "end_date_lo", "end_date_hi", "value_lo",
    "value_hi", "value_lo_open", "value_hi_open", "reported_lo", "reported_hi", "reported_unit",
    "unit", "ref_low", "ref_high", "standing", "standing_reason", "status", "clinical_status",
    "severity", "stage", "criticality", "known_from", "study",
)  # fmt: skip
"""Columns of a fact that criteria read."""

WORDS = frozenset(
    ("reported_unit", "unit", "status", "clinical_status", "severity", "stage", "criticality",
     "study")
)  # fmt: skip
"""Of these, columns of words: from the first table on they are numbers."""

IGNORED = STANDING_NUMBER[Standing.IGNORED]
COUNTS = STANDING_NUMBER[Standing.COUNTS]
BORN = "m.as_of >= f.start_lo AND m.as_of >= f.known_from"
_PARTICIPATION = KIND_NUMBER[Kind.STUDY_PARTICIPATION]
_OTHERS = 1000
"""In the place of that number, and more for each further study: those in other studies."""
_ADMITTED = "COALESCE(stay_now.start_date, m.as_of_date)"
ASIDE = f"(f.standing = {IGNORED} OR f.about_other)"


_STOP_FACTS = (
    (Stop.DECEASED, DECEASED),
    (Stop.RESTRICTED, RESTRICTED),
    (Stop.TEST_RECORD, TEST_RECORD),
    (Stop.SUPERSEDED, SUPERSEDED),
)


class Person:
    """Which columns of ``p`` the statement needs, and the query that makes them."""

    def __init__(self, inputs: Inputs, *, silence_refuses: bool) -> None:
        self._inputs = inputs
        self._silence_refuses = silence_refuses
        self._own: frozenset[str] = frozenset()
        self._studies: list[frozenset[str]] = []
        self._pulled: dict[int, None] = {}
        self._summed: dict[int, None] = {}
        self._whichever = set[int]()
        self._denied: dict[int, None] = {}
        self._codes: dict[str, Code] = {}
        self._here: dict[str, list[int]] = {}
        self.documents: bool = False
        self.admission: bool = False

    # ------------------------------------------------------------------ what criteria may ask

    def begin(self, own: frozenset[str]) -> None:
        """From now on this is asked for the study which records know by these names."""
        self._own = own
        if own and own not in self._studies:
            self._studies.append(own)

    @property
    def _of_own(self) -> int:
        return _OTHERS + self._studies.index(self._own) if self._own else 0

    def others(self, kinds: Iterable[Kind], fact: str) -> str:
        """Condition: a fact speaks of no participation in this study (AND ..., or nothing)."""
        if not self._own or Kind.STUDY_PARTICIPATION not in kinds:
            return ""
        own = (str(self._inputs.word("study", one)) for one in sorted(self._own))
        return f" AND {fact}.study NOT IN ({', '.join(own)})"

    def any_code(self, kinds: Iterable[int]) -> None:
        """Facts of these kinds are read whatever their codes, from the table ``whichever``."""
        self._whichever.update(kinds)

    def pulled(self, kind: Kind) -> str:
        """Column: NULL where the kind was pulled whole, else the date up to which it was not."""
        self._pulled[KIND_NUMBER[kind]] = None
        return f"pulled_{KIND_NUMBER[kind]}"

    def present(self, kind: Kind) -> str:
        """Column: 1 where facts of the kind exist, else NULL."""
        return f"has_{self._stats_of(kind)}"

    def mapped(self, kind: Kind, bit: int) -> tuple[str, int]:
        """(column, mask): facts of the kind in one of a set's code systems have the bit."""
        return f"m{bit // BITS}_{self._stats_of(kind)}", 1 << (bit % BITS)

    def denied(self, kind: Kind) -> str:
        """Column: 1 where the record states that there is nothing of the kind."""
        number = self._number(kind)
        self._denied[number] = None
        return f"denied_{number}"

    def known_here(self, kinds: Iterable[Kind]) -> str:
        """Column: 1 where the patient is known here by facts of these kinds; nobody is by none."""
        numbers = sorted(self._stats_of(kind) for kind in kinds)
        self.admission = True
        column = "_".join(("here", *map(str, numbers)))
        self._here[column] = numbers
        return column

    def fact(self, name: str, code: Code) -> None:
        """Columns NAME_seq, NAME_lo, NAME_hi, NAME_standing of a fact about the patient."""
        self._codes[name] = code

    def _number(self, kind: Kind) -> int:
        """The kind's number; participations in other studies than this have one of their own."""
        of_own = self._of_own if kind is Kind.STUDY_PARTICIPATION else 0
        return of_own or KIND_NUMBER[kind]

    def _stats_of(self, kind: Kind) -> int:
        number = self._number(kind)
        self._summed[number] = None
        return number

    def stops(self) -> dict[Stop, str]:
        """Columns that say, by 1, which stop holds; ``told_stops`` is what the runner knows."""
        found = {stop: f"stop_{stop.value.replace('-', '_')}" for stop, _ in _STOP_FACTS}
        found[Stop.OPTED_OUT] = "stop_opted_out"
        if self._own:
            found[Stop.ON_STUDY] = f"stop_on_study_{self._of_own}"
        return found

    def class_columns(self) -> tuple[list[str], list[str]]:
        """Columns that are NULL for whoever has a class, and those that make it."""
        whole = [f"pulled_{number}" for number in self._pulled]
        if self.documents:
            whole.append("outside_document")
        stats = [
            f"{name}_{number}"
            for number in self._summed
            for name in ("has", *(f"m{mask}" for mask in range(self._inputs.masks)))
        ]
        denied = [f"denied_{number}" for number in self._denied]
        return whole, ["as_of", "as_of_date", *stats, *denied, *self._here]

    # ------------------------------------------------------------------ the base tables

    @property
    def alive(self) -> str:
        """Condition on ``f`` and ``m``: the fact existed at as_of and may decide something."""
        return f"{BORN} AND NOT {ASIDE}"

    def _columns(self) -> str:
        """What criteria read of a fact ``f``, and whether it has a coded value at all."""
        plain = {name: f"f.{name}" for name in ROW} | {"seq": "CAST(f.seq AS BIGINT)"}
        for name in WORDS:
            known = self._inputs.words.get(name, {})
            cases = " ".join(f"WHEN {text(word)} THEN {n}" for word, n in known.items())
            plain[name] = f"CASE f.{name} {cases} ELSE 0 END" if cases else "0"
        plain["coded"] = "CASE WHEN ARRAY_SIZE(f.value_concepts) > 0 THEN 1 ELSE 0 END"
        return ", ".join(f"{expression} AS {name}" for name, expression in plain.items())

    def tables(self) -> dict[str, str]:
        """Every base table of the statement, ``p`` last."""
        made = {
            "hit": "SELECT DISTINCT s.set_no, c.role, c.patient, c.seq FROM fact_concept c "
            "JOIN concept_set s ON s.concept = c.concept "
            "JOIN moment m ON m.patient = c.patient",
            "rel": f"SELECT h.set_no, {self._columns()} FROM hit h JOIN fact f "
            "ON f.patient = h.patient AND f.seq = h.seq JOIN moment m ON m.patient = f.patient "
            f"WHERE h.role = {CONCEPT_ROLE} AND {self.alive}",
            "whichever": f"SELECT {EVERY_CODE} AS set_no, {self._columns()} FROM fact f "
            "JOIN moment m ON m.patient = f.patient WHERE f.kind IN "
            f"({', '.join(map(str, sorted(self._whichever))) or 0}) AND {self.alive}",
            "spoke": "SELECT DISTINCT set_no, patient FROM hit",
            "aside": "SELECT h.set_no, f.patient, CAST(f.seq AS BIGINT) AS seq, f.kind, "
            "f.start_lo, f.last_start FROM hit h JOIN fact f "
            "ON f.patient = h.patient AND f.seq = h.seq JOIN moment m ON m.patient = f.patient "
            f"WHERE h.role = {CONCEPT_ROLE} AND {BORN} AND {ASIDE}",
        }
        columns = ["m.patient", "m.as_of", "m.as_of_date", "m.stops AS told_stops"]
        joins: list[str] = []
        for add in (
            self._stays,
            self._pulls,
            self._stats,
            self._denials,
            self._papers,
            self._stops,
        ):
            add(made, columns, joins)
        for name, code in self._codes.items():
            self._about(name, code, made, columns, joins)
        made["p"] = f"SELECT {', '.join(columns)} FROM moment m {' '.join(joins)}"
        return made

    def _stays(self, made: dict[str, str], columns: list[str], joins: list[str]) -> None:
        """Touching inpatient and emergency encounters joined; as_of alone where none holds it."""
        if not self.admission:
            return
        classes = [str(self._inputs.exact(Code(ACT_CODE, c))) for c in sorted(ADMISSION_CLASSES)]
        before = "PARTITION BY patient ORDER BY start_lo, seq"
        made["stay"] = (
            "SELECT patient, seq, start_lo, start_date_lo, end_hi, "
            f"MAX(end_hi) OVER ({before} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) "
            "AS reach FROM (SELECT DISTINCT patient, seq, start_lo, start_date_lo, end_hi "
            f"FROM rel WHERE kind = {KIND_NUMBER[Kind.ENCOUNTER]} "
            f"AND set_no IN ({', '.join(classes)})) AS s"
        )
        made["stay_run"] = (
            "SELECT patient, start_lo, start_date_lo, end_hi, SUM(CASE WHEN reach IS NULL OR "
            f"start_lo > reach THEN 1 ELSE 0 END) OVER ({before} "
            "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS run, seq FROM stay"
        )
        made["stay_all"] = (
            "SELECT patient, run, MIN(start_lo) AS start_lo, MAX(end_hi) AS reach, "
            "MIN(start_date_lo) AS start_date FROM "
            "(SELECT patient, run, end_hi, "
            "FIRST_VALUE(start_lo) OVER (PARTITION BY patient, run ORDER BY start_lo, seq) "
            "AS start_lo, "
            "FIRST_VALUE(start_date_lo) OVER (PARTITION BY patient, run ORDER BY start_lo, seq) "
            "AS start_date_lo FROM stay_run) AS s GROUP BY patient, run"
        )
        made["stay_now"] = (
            "SELECT a.patient, a.start_lo, a.start_date FROM stay_all a "
            "JOIN (SELECT patient, MAX(run) AS run FROM stay_all GROUP BY patient) z "
            "ON z.patient = a.patient AND z.run = a.run "
            "JOIN moment m ON m.patient = a.patient WHERE a.reach > m.as_of"
        )
        joins.append("LEFT JOIN stay_now ON stay_now.patient = m.patient")
        columns.append("COALESCE(stay_now.start_lo, m.as_of) AS admission")
        columns.append(f"{_ADMITTED} AS admission_date")

    def _pulls(self, made: dict[str, str], columns: list[str], joins: list[str]) -> None:
        kinds = list(self._pulled)
        if not kinds:
            return
        parts = ", ".join(
            f"MAX(CASE WHEN r.kind = {k} AND NOT r.complete THEN r.date_to END) AS part_{k}, "
            f"MAX(CASE WHEN r.kind = {k} THEN 1 END) AS asked_{k}"
            for k in kinds
        )
        made["pulls"] = f"SELECT r.patient, {parts} FROM retrieved r GROUP BY r.patient"
        joins.append("LEFT JOIN pulls ON pulls.patient = m.patient")
        columns += [
            f"CASE WHEN pulls.asked_{k} IS NULL THEN {DATE_LATEST} ELSE pulls.part_{k} END "
            f"AS pulled_{k}"
            for k in kinds
        ]

    def _stats(self, made: dict[str, str], columns: list[str], joins: list[str]) -> None:
        """Per kind: whether there is any, in which code systems, and how long known here."""
        kinds = list(self._summed)
        if not kinds:
            return
        masks = [f"m{number}" for number in range(self._inputs.masks)]
        dated = f"f.standing = {COUNTS} AND f.start_date_hi < {DATE_LATEST}"
        plain = (
            ("has", "MAX(1)"),
            ("known", f"COUNT(CASE WHEN {dated} THEN 1 END)"),
            ("visit_lo", f"MIN(CASE WHEN {dated} THEN f.visit END)"),
            ("visit_hi", f"MAX(CASE WHEN {dated} THEN f.visit END)"),
            ("since", f"MIN(CASE WHEN {dated} THEN f.start_date_hi END)"),
            *((mask, f"BIT_OR(COALESCE(s.{mask}, 0))") for mask in masks),
        )
        aggregates = ", ".join(f"{expression} AS {name}" for name, expression in plain)
        systems = "LEFT JOIN system_mask s ON s.systems = f.systems" if masks else ""
        rows = (
            f"{aggregates} FROM fact f JOIN moment m ON m.patient = f.patient {systems} "
            f"WHERE {self.alive} AND f.kind"
        )
        plain_kinds = ", ".join(str(kind) for kind in kinds if kind < _OTHERS)
        made["kinds"] = (
            f"SELECT f.patient, CAST(f.kind AS INT) AS kind, {rows} "
            f"IN ({plain_kinds or 0}) GROUP BY f.patient, f.kind"
        )
        for number, own in enumerate(self._studies, _OTHERS):
            if number in self._summed:
                made["kinds"] += (
                    f" UNION ALL SELECT f.patient, {number} AS kind, {rows} = {_PARTICIPATION} "
                    f"AND {_not_of(own, 'f')} GROUP BY f.patient"
                )
        wide = ", ".join(
            f"MAX(CASE WHEN kind = {k} THEN {name} END) AS {name}_{k}"
            for k in kinds
            for name, _ in plain
        )
        made["kinds_wide"] = f"SELECT patient, {wide} FROM kinds GROUP BY patient"
        joins.append("LEFT JOIN kinds_wide ON kinds_wide.patient = m.patient")
        read = ("has", *masks)
        columns += [f"kinds_wide.{name}_{k} AS {name}_{k}" for k in kinds for name in read]
        columns += [
            f"CASE WHEN {_known(numbers)} THEN 1 ELSE 0 END AS {name}"
            for name, numbers in self._here.items()
        ]

    def _denials(self, made: dict[str, str], columns: list[str], joins: list[str]) -> None:
        kinds = list(self._denied)
        if not kinds:
            return
        names = self._studies
        conditions = {
            k: f"f.kind = {k}"
            if k < _OTHERS
            else f"f.kind = {_PARTICIPATION} AND {_not_of(names[k - _OTHERS], 'f')}"
            for k in kinds
        }
        wide = ", ".join(
            f"MAX(CASE WHEN {condition} THEN 1 END) AS denied_{k}"
            for k, condition in conditions.items()
        )
        made["denials"] = (
            f"SELECT f.patient, {wide} FROM fact f JOIN moment m ON m.patient = f.patient "
            f"WHERE f.recorded_absence AND {self.alive} GROUP BY f.patient"
        )
        joins.append("LEFT JOIN denials ON denials.patient = m.patient")
        columns += [f"denials.denied_{k} AS denied_{k}" for k in kinds]

    def _papers(self, made: dict[str, str], columns: list[str], joins: list[str]) -> None:
        if not self.documents:
            return
        made["papers"] = (
            "SELECT f.patient, MAX(f.start_lo) AS newest FROM fact f "
            f"JOIN moment m ON m.patient = f.patient WHERE f.kind = {KIND_NUMBER[Kind.DOCUMENT]} "
            f"AND f.stage = 'outside' AND {self.alive} GROUP BY f.patient"
        )
        joins.append("LEFT JOIN papers ON papers.patient = m.patient")
        columns.append("papers.newest AS outside_document")

    def _stops(self, made: dict[str, str], columns: list[str], joins: list[str]) -> None:
        """What the record says that comes before any criterion, whatever its standing."""
        stated = (
            "FROM hit h JOIN fact f ON f.patient = h.patient AND f.seq = h.seq "
            f"JOIN moment m ON m.patient = f.patient WHERE h.role = {CONCEPT_ROLE}"
        )
        names = self.stops()
        numbers = ", ".join(str(self._inputs.exact(code)) for _, code in _STOP_FACTS)
        flags = ", ".join(
            f"MAX(CASE WHEN h.set_no = {self._inputs.exact(code)} THEN 1 ELSE 0 END) "
            f"AS {names[stop]}"
            for stop, code in _STOP_FACTS
        )
        made["stated"] = (
            f"SELECT f.patient, {flags} {stated} AND {BORN} AND h.set_no IN ({numbers}) "
            f"AND f.kind = {KIND_NUMBER[Kind.PATIENT]} GROUP BY f.patient"
        )
        joins.append("LEFT JOIN stated ON stated.patient = m.patient")
        columns += [f"stated.{names[stop]} AS {names[stop]}" for stop, _ in _STOP_FACTS]
        deny, permit = (self._inputs.exact(code) for code in (RESEARCH_DENY, RESEARCH_PERMIT))
        made["consents"] = (
            "SELECT patient, MAX(CASE WHEN start_hi = newest THEN denies ELSE 0 END) AS refuses "
            f"FROM (SELECT f.patient, f.start_hi, CASE WHEN h.set_no = {deny} THEN 1 ELSE 0 END "
            f"AS denies, MAX(f.start_hi) OVER (PARTITION BY f.patient) AS newest {stated} "
            f"AND {BORN} AND h.set_no IN ({deny}, {permit}) AND f.standing = {COUNTS} "
            f"AND f.kind = {KIND_NUMBER[Kind.CONSENT]} AND f.end_hi > m.as_of) AS c "
            "GROUP BY patient"
        )
        joins.append("LEFT JOIN consents ON consents.patient = m.patient")
        silence = 1 if self._silence_refuses else 0
        columns.append(f"COALESCE(consents.refuses, {silence}) AS stop_opted_out")
        for number, own in enumerate(self._studies, _OTHERS):
            table = f"on_study_{number}"
            made[table] = self._participation(stated, own)
            joins.append(f"LEFT JOIN {table} ON {table}.patient = m.patient")
            columns.append(f"CASE WHEN {table}.patient IS NULL THEN 0 ELSE 1 END AS stop_{table}")

    def _participation(self, stated: str, own: frozenset[str]) -> str:
        """A query of who is on this study already, by a status that a person has set."""
        codes = (self._inputs.exact(Code(PARTICIPATION, status)) for status in sorted(ON_STUDY))
        return (
            f"SELECT DISTINCT f.patient {stated} AND h.set_no IN ({', '.join(map(str, codes))}) "
            f"AND f.kind = {_PARTICIPATION} AND NOT {_not_of(own, 'f')} "
            "AND f.set_by = 'person' AND f.start_lo <= m.as_of"
        )

    def _about(
        self, name: str, code: Code, made: dict[str, str], columns: list[str], joins: list[str]
    ) -> None:
        """The first fact about the patient with this code, and which sex it states."""
        table = f"about_{name}"
        where = f"set_no = {self._inputs.exact(code)} AND kind = {KIND_NUMBER[Kind.PATIENT]}"
        made[table] = (
            "SELECT r.patient, r.seq, r.start_date_lo, r.start_date_hi, r.standing, "
            "r.last_start, r.coded FROM rel r "
            "JOIN (SELECT patient, seq, ROW_NUMBER() OVER (PARTITION BY patient "
            f"ORDER BY start_lo, seq) AS n FROM rel WHERE {where}) z "
            f"ON z.patient = r.patient AND z.seq = r.seq AND z.n = 1 WHERE r.{where}"
        )
        joins.append(f"LEFT JOIN {table} ON {table}.patient = m.patient")
        columns += [
            f"{table}.{column} AS {name}_{column}"
            for column in (
                "seq",
                "start_date_lo",
                "start_date_hi",
                "standing",
                "last_start",
                "coded",
            )
        ]
        if code == SEX:
            for value in (FEMALE, MALE):
                says = f"says_{value.code}"
                made[says] = (
                    "SELECT DISTINCT patient, seq FROM hit "
                    f"WHERE role = {VALUE_ROLE} AND set_no = {self._inputs.exact(value)}"
                )
                joins.append(
                    f"LEFT JOIN {says} ON {says}.patient = {table}.patient "
                    f"AND {says}.seq = {table}.seq"
                )
                columns.append(f"CASE WHEN {says}.seq IS NOT NULL THEN 1 ELSE 0 END AS {says}")


def _not_of(own: frozenset[str], fact: str) -> str:
    return f"{fact}.study NOT IN ({', '.join(text(one) for one in sorted(own))})"


def _known(kinds: list[int]) -> str:
    """Whether the patient is known here, from the columns of these kinds; nobody is by none."""
    if not kinds:
        return "FALSE"
    column = "kinds_wide.{name}_{kind}".format
    total = " + ".join(f"COALESCE({column(name='known', kind=k)}, 0)" for k in kinds)
    visits = [
        least([column(name="visit_lo", kind=k) for k in kinds]),
        greatest([column(name="visit_hi", kind=k) for k in kinds]),
    ]
    since = least([column(name="since", kind=k) for k in kinds])
    long_ago = f"{since} < {_ADMITTED} - {KNOWN_DAYS}"
    return every([f"({total}) >= 2", f"{visits[0]} <> {visits[1]}", long_ago])
