"""Table ``p``: one row per patient with what several criteria ask of the record as a whole.

The moment asked about, the current stay, what was pulled whole, which kinds and code systems
exist, whether the patient is known here, what is denied outright, the newest outside document, and
the facts about the person. Only columns that some criterion reads are worked out.
"""

from __future__ import annotations

from fhir_adapter.evaluate.absence import KNOWN_DAYS
from fhir_adapter.evaluate.cohort.inputs import EVERY_CODE
from fhir_adapter.evaluate.cohort.person import (
    ASIDE,
    BORN,
    COUNTS,
    OTHERS,
    PARTICIPATION_KIND,
    ROW,
    STOP_FACTS,
    WORDS,
    Person,
)
from fhir_adapter.evaluate.cohort.script import every, greatest, least, text
from fhir_adapter.model.code import Code
from fhir_adapter.model.dates import DATE_LATEST
from fhir_adapter.model.fact import Kind
from fhir_adapter.model.participation import ON_STUDY
from fhir_adapter.model.tables import CONCEPT_ROLE, KIND_NUMBER, VALUE_ROLE
from fhir_adapter.model.vocabulary import (
    ACT_CODE,
    ADMISSION_CLASSES,
    FEMALE,
    MALE,
    PARTICIPATION,
    RESEARCH_DENY,
    RESEARCH_PERMIT,
    SEX,
)

_ADMITTED = "COALESCE(stay_now.start_date, m.as_of_date)"


class BaseTables:
    """Makes the queries of the tables that stand before all others, ``p`` last."""

    def __init__(self, asked: Person) -> None:
        self._asked = asked

    def _columns(self) -> str:
        """What criteria read of a fact ``f``, and whether it has a coded value at all."""
        plain = {name: f"f.{name}" for name in ROW} | {"seq": "CAST(f.seq AS BIGINT)"}
        for name in WORDS:
            known = self._asked.inputs.words.get(name, {})
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
            f"WHERE h.role = {CONCEPT_ROLE} AND {self._asked.alive}",
            "whichever": f"SELECT {EVERY_CODE} AS set_no, {self._columns()} FROM fact f "
            "JOIN moment m ON m.patient = f.patient WHERE f.kind IN "
            f"({', '.join(map(str, sorted(self._asked.whichever))) or 0}) AND {self._asked.alive}",
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
        for name, code in self._asked.codes.items():
            self._about(name, code, made, columns, joins)
        made["p"] = f"SELECT {', '.join(columns)} FROM moment m {' '.join(joins)}"
        return made

    def _stays(self, made: dict[str, str], columns: list[str], joins: list[str]) -> None:
        """Touching inpatient and emergency encounters joined; as_of alone where none holds it."""
        if not self._asked.admission:
            return
        classes = [
            str(self._asked.inputs.exact(Code(ACT_CODE, c))) for c in sorted(ADMISSION_CLASSES)
        ]
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
        number = KIND_NUMBER[Kind.ENCOUNTER]
        self._asked.pulled(Kind.ENCOUNTER)
        unread = f"pulls.asked_{number} IS NULL OR pulls.part_{number} IS NOT NULL"
        columns.append(
            f"CASE WHEN stay_now.patient IS NULL AND ({unread}) THEN 1 ELSE 0 END AS stay_unread"
        )

    def _pulls(self, made: dict[str, str], columns: list[str], joins: list[str]) -> None:
        kinds = list(self._asked.pulled_kinds)
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
        kinds = list(self._asked.summed)
        if not kinds:
            return
        masks = [f"m{number}" for number in range(self._asked.inputs.masks)]
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
            f"WHERE {self._asked.alive} AND f.kind"
        )
        plain_kinds = ", ".join(str(kind) for kind in kinds if kind < OTHERS)
        made["kinds"] = (
            f"SELECT f.patient, CAST(f.kind AS INT) AS kind, {rows} "
            f"IN ({plain_kinds or 0}) GROUP BY f.patient, f.kind"
        )
        for number, own in enumerate(self._asked.studies, OTHERS):
            if number in self._asked.summed:
                made["kinds"] += (
                    f" UNION ALL SELECT f.patient, {number} AS kind, {rows} = {PARTICIPATION_KIND} "
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
            for name, numbers in self._asked.here.items()
        ]

    def _denials(self, made: dict[str, str], columns: list[str], joins: list[str]) -> None:
        kinds = list(self._asked.denied_kinds)
        if not kinds:
            return
        names = self._asked.studies
        conditions = {
            k: f"f.kind = {k}"
            if k < OTHERS
            else f"f.kind = {PARTICIPATION_KIND} AND {_not_of(names[k - OTHERS], 'f')}"
            for k in kinds
        }
        wide = ", ".join(
            f"MAX(CASE WHEN {condition} THEN 1 END) AS denied_{k}"
            for k, condition in conditions.items()
        )
        made["denials"] = (
            f"SELECT f.patient, {wide} FROM fact f JOIN moment m ON m.patient = f.patient "
            f"WHERE f.recorded_absence AND {self._asked.alive} GROUP BY f.patient"
        )
        joins.append("LEFT JOIN denials ON denials.patient = m.patient")
        columns += [f"denials.denied_{k} AS denied_{k}" for k in kinds]

    def _papers(self, made: dict[str, str], columns: list[str], joins: list[str]) -> None:
        if not self._asked.documents:
            return
        made["papers"] = (
            "SELECT f.patient, MAX(f.start_lo) AS newest FROM fact f "
            f"JOIN moment m ON m.patient = f.patient WHERE f.kind = {KIND_NUMBER[Kind.DOCUMENT]} "
            f"AND f.stage = 'outside' AND {self._asked.alive} GROUP BY f.patient"
        )
        joins.append("LEFT JOIN papers ON papers.patient = m.patient")
        columns.append("papers.newest AS outside_document")

    def _stops(self, made: dict[str, str], columns: list[str], joins: list[str]) -> None:
        """What the record says that comes before any criterion, whatever its standing."""
        stated = (
            "FROM hit h JOIN fact f ON f.patient = h.patient AND f.seq = h.seq "
            f"JOIN moment m ON m.patient = f.patient WHERE h.role = {CONCEPT_ROLE}"
        )
        names = self._asked.stops()
        numbers = ", ".join(str(self._asked.inputs.exact(code)) for _, code in STOP_FACTS)
        flags = ", ".join(
            f"MAX(CASE WHEN h.set_no = {self._asked.inputs.exact(code)} THEN 1 ELSE 0 END) "
            f"AS {names[stop]}"
            for stop, code in STOP_FACTS
        )
        made["stated"] = (
            f"SELECT f.patient, {flags} {stated} AND {BORN} AND h.set_no IN ({numbers}) "
            f"AND f.kind = {KIND_NUMBER[Kind.PATIENT]} GROUP BY f.patient"
        )
        joins.append("LEFT JOIN stated ON stated.patient = m.patient")
        columns += [f"stated.{names[stop]} AS {names[stop]}" for stop, _ in STOP_FACTS]
        deny, permit = (self._asked.inputs.exact(code) for code in (RESEARCH_DENY, RESEARCH_PERMIT))
        made["consents"] = (
            "SELECT patient, CASE WHEN MAX(denied) IS NULL OR MAX(permitted) >= MAX(denied) "
            "THEN 0 ELSE 1 END AS refuses FROM (SELECT f.patient, "
            f"CASE WHEN h.set_no = {deny} THEN f.start_hi END AS denied, "
            f"CASE WHEN h.set_no = {permit} THEN f.start_lo END AS permitted {stated} "
            f"AND {BORN} AND h.set_no IN ({deny}, {permit}) AND f.standing = {COUNTS} "
            f"AND f.kind = {KIND_NUMBER[Kind.CONSENT]} AND f.end_hi > m.as_of) AS c "
            "GROUP BY patient"
        )
        joins.append("LEFT JOIN consents ON consents.patient = m.patient")
        silence = 1 if self._asked.silence_refuses else 0
        columns.append(f"COALESCE(consents.refuses, {silence}) AS stop_opted_out")
        for number, own in enumerate(self._asked.studies, OTHERS):
            table = f"on_study_{number}"
            made[table] = self._participation(stated, own)
            joins.append(f"LEFT JOIN {table} ON {table}.patient = m.patient")
            columns.append(f"CASE WHEN {table}.patient IS NULL THEN 0 ELSE 1 END AS stop_{table}")

    def _participation(self, stated: str, own: frozenset[str]) -> str:
        """A query of who is on this study already, by a status that a person has set."""
        codes = (
            self._asked.inputs.exact(Code(PARTICIPATION, status)) for status in sorted(ON_STUDY)
        )
        return (
            f"SELECT DISTINCT f.patient {stated} AND h.set_no IN ({', '.join(map(str, codes))}) "
            f"AND f.kind = {PARTICIPATION_KIND} AND NOT {_not_of(own, 'f')} "
            "AND f.set_by = 'person' AND f.start_lo <= m.as_of"
        )

    def _about(
        self, name: str, code: Code, made: dict[str, str], columns: list[str], joins: list[str]
    ) -> None:
        """The first fact about the patient with this code, and which sex it states."""
        table = f"about_{name}"
        where = f"set_no = {self._asked.inputs.exact(code)} AND kind = {KIND_NUMBER[Kind.PATIENT]}"
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
                    f"WHERE role = {VALUE_ROLE} AND set_no = {self._asked.inputs.exact(value)}"
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
