"""The cohort lane: a study compiled to one SQL statement, the twin of ``evaluate/record.py``."""

from fhir_adapter.evaluate.cohort.answer import unpack
from fhir_adapter.evaluate.cohort.one_study import EFFECTS, OUTCOMES, STOPS, ForStudy
from fhir_adapter.evaluate.cohort.statement import (
    CohortStatements,
    compile_cohort,
    compile_cohorts,
)

__all__ = [
    "EFFECTS",
    "OUTCOMES",
    "STOPS",
    "CohortStatements",
    "ForStudy",
    "compile_cohort",
    "compile_cohorts",
    "unpack",
]
