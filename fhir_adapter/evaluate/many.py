"""Many studies of one site on one patient: the record is indexed once for all of them.

Studies name their value sets; where two studies mean different codes by one name each keeps an
index of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fhir_adapter.evaluate import case as cases
from fhir_adapter.evaluate.case import Case
from fhir_adapter.evaluate.compiler import Membership
from fhir_adapter.evaluate.record import CompiledStudy, gates_fit
from fhir_adapter.model.fact import Kind, PatientRecord
from fhir_adapter.model.mapping import CodeSet


class ManyStudies:
    """Compiled studies of one site, made once; ``gates_fit`` answers for one patient."""

    def __init__(self, studies: Sequence[CompiledStudy]) -> None:
        self.studies: tuple[CompiledStudy, ...] = tuple(studies)
        union: dict[str, CodeSet] = {}
        self._alone: set[int] = set()
        for number, study in enumerate(self.studies):
            own = study.compiler.membership.code_sets
            if any(union.get(name, found) != found for name, found in own.items()):
                self._alone.add(number)
            else:
                union.update(own)
        self._membership: Membership = Membership(union)

    def gates_fit(
        self, record: PatientRecord, as_of: int, own_studies: Sequence[frozenset[str]]
    ) -> list[bool]:
        """Study by study: whether every gate fits or does not apply."""
        shared: Case | None = None
        found: list[bool] = []
        takes_part = {f.study for f in record.facts if f.kind is Kind.STUDY_PARTICIPATION}
        for number, (study, own) in enumerate(zip(self.studies, own_studies, strict=True)):
            if number in self._alone or not takes_part.isdisjoint(own):
                case = study.case(record, as_of, own)
            else:
                shared = shared or self._case(record, as_of)
                # what one study has worked out (its anchors) is nothing to another
                case = replace(shared, memo={})
            found.append(gates_fit(study, case))
        return found

    def _case(self, record: PatientRecord, as_of: int) -> Case:
        zone = self.studies[0].mappings.site.zone
        return cases.build(record, as_of=as_of, zone=zone, membership=self._membership)
