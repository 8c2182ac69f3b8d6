"""The eight criteria of benchmarks/eight as a person would write them in SQL, for these tables.

One row per patient: true, false or null per criterion. No reason, no evidence, no silence beyond
"null", no outcome. It rests on what a writer can know of this data: all results have a full time
stamp, no comparator, and everything was pulled whole. One pass over the facts, and a second one
for the diagnoses around the bilirubin.

Latest by one number: the start times four plus the truth (0, 1, 2). The greatest names the truth of
the newest result; with the truth turned round (2 - truth) the lowest truth of that instant.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date

from fhir_adapter.model.code import Code, key_of
from fhir_adapter.model.fact import Kind
from fhir_adapter.model.mapping import CodeSet
from fhir_adapter.model.tables import KIND_NUMBER
from fhir_adapter.model.vocabulary import BIRTH_DATE

NAMES = ("I1", "I2", "I3", "I4", "E5", "E6", "E7", "E8")
SETS = {
    "total-bilirubin": 1, "inr": 2, "prothrombin-activity": 3, "platelets": 4, "ascites": 5,
    "hepatic-encephalopathy": 5, "liver-cancer": 6, "other-malignancy": 6,
    "liver-transplant-status": 7, "liver-transplantation": 8, "pregnancy": 9,
}  # fmt: skip
_BORN = 10
_KIND_OF = dict.fromkeys((5, 6, 7, 9), Kind.CONDITION)
_KIND_OF |= dict.fromkeys((1, 2, 3, 4), Kind.OBSERVATION)
_KIND_OF |= {8: Kind.PROCEDURE, _BORN: Kind.PATIENT}


def named(codes: Iterable[Code], sets: Mapping[str, CodeSet]) -> Iterator[tuple[int, int, int]]:
    """(concept, kind, what it is here) of every concept of a dictionary that is looked at."""
    for number, code in enumerate(codes, 1):
        if code == BIRTH_DATE:
            yield number, KIND_NUMBER[Kind.PATIENT], _BORN
        for what in sorted({SETS[name] for name in SETS if sets[name].holds(key_of(code))}):
            yield number, KIND_NUMBER[_KIND_OF[what]], what


def statement(day: date) -> str:
    """The query; ``named`` and ``moment`` stand beside the fact tables."""
    younger = date(day.year - 18, day.month, day.day).toordinal()
    older = date(day.year - 71, day.month, day.day).toordinal()
    return _SQL.format(younger=younger, older=older)


_SQL = """
WITH coded AS (
  SELECT patient, kind, standing, start_lo, start_date_lo, start_date_hi,
         value_lo, reported_lo, reported_unit, unnest(concepts) AS concept
  FROM fact WHERE standing <> 1 AND NOT about_other AND kind IN (1, 2, 4, 5)
), hit AS (
  SELECT patient, what, standing = 0 AS sure, start_date_lo, start_date_hi,
    CASE WHEN what <= 4 THEN start_lo * 4 END AS instant,
    CASE WHEN standing = 2 OR value_lo IS NULL THEN 1
         WHEN what = 1 AND reported_unit = 'umol/L'
           THEN CASE WHEN reported_lo >= 85 THEN 2 ELSE 0 END
         WHEN what = 1 THEN CASE WHEN value_lo >= 5 THEN 2 ELSE 0 END
         WHEN what = 2 THEN CASE WHEN value_lo >= 1.5 THEN 2 ELSE 0 END
         WHEN what = 3 THEN CASE WHEN value_lo < 40 THEN 2 ELSE 0 END
         WHEN what = 4 THEN CASE WHEN value_lo < 50 THEN 2 ELSE 0 END
    END AS truth
  FROM coded JOIN named USING (concept, kind)
), own AS (
  SELECT patient,
    max(start_date_lo) FILTER (what = 10) AS born_lo,
    max(start_date_hi) FILTER (what = 10) AS born_hi,
    max(instant + truth) FILTER (what = 1) AS bili_most,
    max(instant + 2 - truth) FILTER (what = 1) AS bili_least,
    max(start_date_lo) FILTER (what = 1) AS bili_last,
    max(start_date_lo) FILTER (what = 1 AND sure) AS bili_sure,
    max(instant + truth) FILTER (what = 2) AS inr_most,
    max(instant + 2 - truth) FILTER (what = 2) AS inr_least,
    max(instant + truth) FILTER (what = 3) AS pta_most,
    max(instant + 2 - truth) FILTER (what = 3) AS pta_least,
    max(instant + truth) FILTER (what = 4) AS plt_most,
    max(instant + 2 - truth) FILTER (what = 4) AS plt_least,
    max(CASE WHEN sure THEN 2 ELSE 1 END) FILTER (what = 6) AS tumour,
    max(CASE WHEN sure THEN 2 ELSE 1 END) FILTER (what IN (7, 8)) AS transplant,
    max(CASE WHEN sure THEN 2 ELSE 1 END) FILTER (what = 9) AS pregnant
  FROM hit GROUP BY patient
), around AS (
  SELECT hit.patient, max(CASE
      WHEN bili_last IS NULL THEN 1
      WHEN start_date_hi < bili_sure - 28 OR start_date_lo > bili_last + 28 THEN 0
      WHEN sure AND start_date_lo >= bili_last - 28 AND start_date_hi <= bili_sure + 28 THEN 2
      ELSE 1 END) AS decompensated
  FROM hit JOIN own USING (patient) WHERE what = 5 GROUP BY hit.patient
), lab AS (
  SELECT own.*,
    CASE WHEN bili_most % 4 = 0 THEN 0 WHEN bili_least % 4 = 0 THEN 2 ELSE 1 END AS bili,
    CASE WHEN inr_most % 4 = 0 THEN 0 WHEN inr_least % 4 = 0 THEN 2 ELSE 1 END AS inr,
    CASE WHEN pta_most % 4 = 0 THEN 0 WHEN pta_least % 4 = 0 THEN 2 ELSE 1 END AS pta,
    CASE WHEN plt_most % 4 = 0 THEN 0 WHEN plt_least % 4 = 0 THEN 2 ELSE 1 END AS plt
  FROM own
)
SELECT moment.patient,
  CASE WHEN born_hi <= {younger} AND born_lo > {older} THEN true
       WHEN born_lo > {younger} OR born_hi <= {older} THEN false END AS "I1",
  CASE bili WHEN 2 THEN true WHEN 0 THEN false END AS "I2",
  CASE greatest(inr, pta) WHEN 2 THEN true WHEN 0 THEN false END AS "I3",
  CASE coalesce(decompensated, 0) WHEN 2 THEN true WHEN 0 THEN false END AS "I4",
  CASE coalesce(tumour, 0) WHEN 2 THEN true WHEN 0 THEN false END AS "E5",
  CASE coalesce(transplant, 0) WHEN 2 THEN true WHEN 0 THEN false END AS "E6",
  CASE coalesce(pregnant, 0) WHEN 2 THEN true WHEN 0 THEN false END AS "E7",
  CASE plt WHEN 2 THEN true WHEN 0 THEN false END AS "E8"
FROM moment LEFT JOIN lab USING (patient) LEFT JOIN around USING (patient)
"""
