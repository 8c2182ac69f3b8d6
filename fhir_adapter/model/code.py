"""Codes as sent and the form in which they are compared.

ICD codes come with and without dots and with dagger marks ("K70.31", "K7031", "K72.72!"); both
spellings must match (fhir-shapes section 4), so the comparison key of an ICD system drops them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

LOINC = "http://loinc.org"
SNOMED = "http://snomed.info/sct"
ICD10 = "http://hl7.org/fhir/sid/icd-10"
ICD10_CM = "http://hl7.org/fhir/sid/icd-10-cm"
ICD10_GM = "http://fhir.de/CodeSystem/bfarm/icd-10-gm"
ICD9_CM = "http://hl7.org/fhir/sid/icd-9-cm"
ATC = "http://www.whocc.no/atc"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"

ICD_SYSTEMS = frozenset(
    (ICD10, ICD10_CM, ICD10_GM, ICD9_CM, "http://fhir.de/CodeSystem/dimdi/icd-10-gm")
)
_MARKS = str.maketrans("", "", ".!*+\u2020 -")


class Code(NamedTuple):
    """A FHIR Coding without its display: never match by display."""

    system: str
    code: str


@lru_cache(maxsize=65536)
def key_of(code: Code) -> str:
    """The comparison key ``system|code``; ICD without dots and marks, in upper case.

    >>> key_of(Code(ICD10_CM, "K70.31")) == key_of(Code(ICD10_CM, "k7031"))
    True
    """
    if code.system in ICD_SYSTEMS:
        return f"{code.system}|{code.code.translate(_MARKS).upper()}"
    return f"{code.system}|{code.code}"
