"""Patients of whom the record says nothing about a criterion are answered by class, not one by one.

What silence answers hangs on few things: what was pulled, which kinds and code systems exist, what
is denied, whether the patient is known here, and the states of the study's anchors. Patients who
are equal in all of them form a class (table ``cls``); where none of a criterion's code sets has
been recorded, one of them is worked out and speaks for the others. Most patients are silent about
most criteria. A patient whose pull was cut short, or who has an outside document, has no class.
"""

from __future__ import annotations

from collections.abc import Sequence

from fhir_adapter.evaluate.cohort.inputs import EVERY_CODE
from fhir_adapter.evaluate.cohort.person import Person
from fhir_adapter.evaluate.cohort.script import Block, Script, every

CLASSES = "cls"
SPOKE = "spoke"
_OF_WINDOWS = frozenset(("miss", "emp", "first_date"))
_OF_ANCHORS = frozenset(("state", "reason"))


class Classes:
    """Makes tables of one row per patient, by class where a block allows it."""

    def __init__(self, script: Script, person: Person, anchors: Sequence[str]) -> None:
        """``anchors``: tables of all of them, made before anything reads a class."""
        self._script = script
        self._person = person
        self._anchors = tuple(dict.fromkeys(anchors))
        self._known: dict[str, bool] = {}
        script.promise(CLASSES)

    def table(self, prefix: str, block: Block, columns: dict[str, str], sets: set[int]) -> str:
        """The table of a block that reads these code sets and no others."""
        if EVERY_CODE in sets or not self._hangs_on_class(block):
            return self._script.add(prefix, block.query(columns))
        add = self._script.add
        listed = ", ".join(map(str, sorted(sets))) or str(EVERY_CODE)
        who = add(
            "who",
            f"SELECT patient FROM {SPOKE} WHERE set_no IN ({listed}) "
            f"UNION SELECT patient FROM {CLASSES} WHERE class IS NULL",
        )
        silent = f"FROM {CLASSES} c LEFT JOIN {who} w ON w.patient = c.patient"
        first = add(
            "first",
            f"SELECT c.class, MIN(c.patient) AS patient {silent} "
            "WHERE w.patient IS NULL GROUP BY c.class",
        )
        people = (
            f"(SELECT p.* FROM p JOIN (SELECT patient FROM {who} UNION ALL "
            f"SELECT patient FROM {first}) AS s ON s.patient = p.patient)"
        )
        told = add("told", block.query(columns, people=people))
        said = "".join(f", t.{name}" for name in columns)
        return add(
            prefix,
            f"SELECT t.patient{said} FROM {told} t JOIN {who} w ON w.patient = t.patient "
            f"UNION ALL SELECT c.patient{said} {silent} JOIN {first} f ON f.class = c.class "
            f"JOIN {told} t ON t.patient = f.patient WHERE w.patient IS NULL",
        )

    def _hangs_on_class(self, block: Block) -> bool:
        """Whether all that a block reads of silent patients is in the class, or is missing."""
        whole, keys = self._person.class_columns()
        of_person = {*whole, *keys}
        return all(self._is_of_class(table, name, of_person) for table, name in block.reads)

    def _is_of_class(self, table: str, column: str, of_person: set[str]) -> bool:
        if table == "p":
            return column in of_person
        if table in self._anchors:
            return column in _OF_ANCHORS
        if self._script.is_window(table):
            return column in _OF_WINDOWS
        if table not in self._known:
            inner = self._script.blocks.get(table)
            self._known[table] = inner is None or self._hangs_on_class(inner)
        return self._known[table]

    def finish(self) -> None:
        """Say what the classes are, when every column that a block reads is known."""
        whole, keys = self._person.class_columns()
        same = {f"k{n}": f"COALESCE(CAST(p.{name} AS BIGINT), -1)" for n, name in enumerate(keys)}
        joins = ""
        for number, table in enumerate(self._anchors):
            joins += f" LEFT JOIN {table} ON {table}.patient = p.patient"
            for column in sorted(_OF_ANCHORS):
                same[f"{column}{number}"] = f"COALESCE({table}.{column}, -1)"
        said = "".join(f", {expression} AS {name}" for name, expression in same.items())
        keyed = self._script.add(
            "keyed",
            f"SELECT p.patient, CASE WHEN {every([f'p.{n} IS NULL' for n in whole])} "
            f"THEN 1 ELSE 0 END AS whole{said} FROM p{joins}",
        )
        names = ", ".join(same)
        alike = every([f"k.{name} = g.{name}" for name in same])
        self._script.fulfil(
            CLASSES,
            f"SELECT k.patient, g.class FROM {keyed} k LEFT JOIN (SELECT {names}, "
            f"MIN(patient) AS class FROM {keyed} WHERE whole = 1 GROUP BY {names}) AS g "
            f"ON k.whole = 1 AND {alike}",
        )
