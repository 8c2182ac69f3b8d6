"""What silence means, in SQL: the six lines of docs/criteria.md, in their order.

Also why what was found may not be all there is: an anchor that is not known, or a pull that was
cut short.
"""

from __future__ import annotations

from dataclasses import dataclass

from fhir_adapter.evaluate.absence import ORDER_DAYS, Absence
from fhir_adapter.evaluate.cohort.answer import Answer, Slot, any_of, bits_of, pinned
from fhir_adapter.evaluate.cohort.members import Rows, Workshop
from fhir_adapter.evaluate.cohort.script import Block, either, every
from fhir_adapter.model.criterion import Events
from fhir_adapter.model.fact import Kind
from fhir_adapter.model.truth import Reason

_PERSONS_WORD = (Kind.ANSWER, Kind.ENTERED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Silence about one retrieve in one block."""

    block: Block
    shop: Workshop
    rows: Rows
    events: Events
    absence: Absence

    # ------------------------------------------------------------------ what was not pulled

    def p(self, column: str) -> str:
        """A column of the patient."""
        return self.block.take("p", column)

    def window(self, column: str) -> str | None:
        """A column of the window's table; None where there is no window."""
        table = self.rows.window(self.events)
        return None if table is None else self.block.take(table.table, column)

    @property
    def empty(self) -> str:
        """Condition: the window's anchor never happened, and it then holds nothing."""
        column = self.window("emp")
        return "FALSE" if column is None else f"{column} = 1"

    @property
    def not_retrieved(self) -> str:
        """Condition: some kind was not pulled whole over the window's dates."""
        first = self.window("first_date") or "0"
        kinds = [kind for kind in self.events.kind if kind not in _PERSONS_WORD]
        return either([f"{self.p(self.shop.person.pulled(k))} >= {first}" for k in kinds])

    @property
    def not_whole(self) -> str:
        """The reason's number when this, or what counts as well, was not pulled whole; or NULL."""
        conditions = [self.not_retrieved]
        also = self.also
        while also is not None:
            conditions.append(also.not_retrieved)
            also = also.also
        return f"CASE WHEN {either(conditions)} THEN {Reason.NOT_RETRIEVED.value} END"

    @property
    def problem(self) -> str:
        """Why what was found may not be all: a reason's number, or NULL."""
        missing = self.window("miss")
        retrieved = f"CASE WHEN {self.not_retrieved} THEN {Reason.NOT_RETRIEVED.value} END"
        own = retrieved if missing is None else f"COALESCE({missing}, {retrieved})"
        if self.also is None:
            return own
        # LEAST passes over NULL
        return f"LEAST({own}, {self.also.problem})"

    @property
    def also(self) -> Silence | None:
        """Silence about the retrieve that counts as well."""
        if self.events.also is None:
            return None
        return Silence(
            block=self.block,
            shop=self.shop,
            rows=self.rows,
            events=self.events.also,
            absence=self.absence,
        )

    # ------------------------------------------------------------------ silence itself

    def answer(self, newest: str) -> Answer:
        """What it means that there is no such fact; ``newest``: the newest start in the window."""
        own = self._own(newest)
        if self.also is None:
            return own
        start = self.block.take(self._newest_of(self.also.events), "newest")
        return any_of(self.block, [own, self.also.answer(start)])

    def _newest_of(self, events: Events) -> str:
        """Table: the newest start in the window of a retrieve that counts as well."""
        table = self.rows.placed(events)
        return self.shop.script.add(
            "n",
            "SELECT patient, MAX(CASE WHEN place > 0 THEN start_lo END) AS newest "
            f"FROM {table} GROUP BY patient",
        )

    def _own(self, newest: str) -> Answer:
        reason = self.block.pin(self._reason(newest))
        never = Reason.NEVER_RECORDED.value
        assumed = self._assumed()
        truth = self.block.pin(
            f"CASE WHEN {reason} = 0 THEN 0 WHEN {reason} = {never} AND {assumed} THEN 0 ELSE 1 END"
        )
        mask = f"CASE WHEN {truth} = 1 THEN {bits_of(reason)} ELSE 0 END"
        aside = self.rows.aside(self.events)
        slots = () if aside is None else (
            Slot(
                table=aside,
                facts="facts",
                newest="newest",
                when=self.block.pin(f"{reason} = {never}"),
                decides="FALSE",
            ),
        )  # fmt: skip
        printed = self.events.if_absent is None and assumed != "FALSE"
        return pinned(
            self.block,
            Answer(
                truth=truth,
                opens=(("", mask),),
                assumed=f"{truth} = 0 AND {reason} = {never}" if printed else "FALSE",
                evidence=slots,
            ),
        )

    def _reason(self, newest: str) -> str:
        """Zero where the record states that there is nothing; else why it is silent."""
        lines = [
            (self.not_retrieved, Reason.NOT_RETRIEVED.value),
            (self._denied(), 0),
            (self._not_mapped(), Reason.CODE_NOT_MAPPED.value),
            (self._ordered(), Reason.PENDING.value),
            (self._outside(newest), Reason.OUTSIDE.value),
        ]
        said = " ".join(f"WHEN {c} THEN {number}" for c, number in lines if c != "FALSE")
        never = Reason.NEVER_RECORDED.value
        return f"CASE {said} ELSE {never} END" if said else str(never)

    def waiting(self, newest: str) -> str:
        """PENDING or OUTSIDE, as a reason's number, or NULL."""
        lines = [
            (self._ordered(), Reason.PENDING.value),
            (self._outside(newest), Reason.OUTSIDE.value),
        ]
        said = " ".join(f"WHEN {c} THEN {number}" for c, number in lines if c != "FALSE")
        return f"CASE {said} END" if said else "NULL"

    def _denied(self) -> str:
        kinds = [kind for kind in self.events.kind if kind not in _PERSONS_WORD]
        denied = [f"{self.p(self.shop.person.denied(kind))} = 1" for kind in kinds]
        return every(denied) if denied else "FALSE"

    def _not_mapped(self) -> str:
        if self.events.codes is None:
            return "FALSE"
        number = self.shop.inputs.bit(self.events.codes)
        if number is None:
            return "FALSE"
        present: list[str] = []
        unmapped: list[str] = []
        for kind in self.events.kind:
            column, mask = self.shop.person.mapped(kind, number)
            present.append(f"{self.p(self.shop.person.present(kind))} = 1")
            unmapped.append(f"(COALESCE({self.p(column)}, 0) & {mask}) = 0")
        return every([either(present), *unmapped])

    def _ordered(self) -> str:
        if Kind.OBSERVATION not in self.events.kind or self.events.codes is None:
            return "FALSE"
        newest = self.block.take(self.rows.orders(self.events.codes), "newest")
        return f"{newest} >= {self.p('as_of_date')} - {ORDER_DAYS}"

    def _outside(self, newest: str) -> str:
        if not self.absence.reopen_outside:
            return "FALSE"
        self.shop.person.documents = True
        document = self.p("outside_document")
        return f"({document} IS NOT NULL AND ({newest} IS NULL OR {document} > {newest}))"

    def _assumed(self) -> str:
        match self.events.if_absent or self.absence.policy:
            case "unknown":
                return "FALSE"
            case "assume-absent":
                return "TRUE"
            case "assume-absent-if-known-here":  # exhaustive
                return f"{self.p(self.shop.person.known_here(self.absence.known_kinds))} = 1"
