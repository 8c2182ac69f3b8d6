"""The fifteen hard records, row by row of the clinical reference (section 9)."""

from __future__ import annotations

from fhir_adapter.sandbox.chart import Chart
from fhir_adapter.sandbox.chart_codes import ACTS, PROBLEMS, concept

from teaching.teaching_parts import (
    admitted,
    baseline,
    grade_today,
    jaundiced,
    kidneys_well,
    known_here,
    liver,
    new_ascites,
    rising,
    typical,
)

STUDY = "NCT05985863"
OTHER_STUDY = "other-trial"
_CERTAINTY = "http://fhir.de/StructureDefinition/icd-10-gm-diagnosesicherheit"


def whole_umol() -> list[Chart]:
    chart, _ = typical("01-whole-umol", born="1972-05-04", grade=None, bilirubin="85", inr="1.6")
    return [chart]


def warfarin() -> list[Chart]:
    chart = Chart(patient="02-warfarin", sex="female", born="1959-02-11")
    known_here(chart)
    baseline(chart, platelets="210", graded=False)
    rising(chart)
    visit = admitted(chart, hepatology=False)
    chart.order_drug("warfarin", "2026-01-12")
    chart.problem("gallbladder-stone", onset="2022-03-01", recorded="2026-03-10")
    chart.lab("bilirubin", "102", "2026-11-20T09:30", visit=visit)
    chart.lab("inr", "2.8", "2026-11-20T09:30", visit=visit)
    kidneys_well(chart, visit)
    return [chart]


def encephalopathy_without_grade() -> list[Chart]:
    chart = Chart(patient="03-encephalopathy-without-grade", sex="male", born="1978-07-30")
    known_here(chart)
    liver(chart, disease="", cirrhosis="alcoholic-cirrhosis")
    baseline(chart)
    visit = admitted(chart)
    jaundiced(chart, visit, bilirubin="240", inr="2.1")
    kidneys_well(chart, visit)
    chart.problem("encephalopathy", onset="2026-11-21", visit=visit)
    return [chart]


def platelets_on_the_eve() -> list[Chart]:
    chart = Chart(patient="04-platelets-on-the-eve", sex="female", born="1987-09-19")
    known_here(chart)
    liver(chart)
    baseline(chart, day="2026-03-10", platelets="120")
    visit = admitted(chart, start="2026-11-18T10:00")
    chart.lab("platelets", "61", "2026-11-18T11:00", visit=visit)
    chart.lab("platelets", "48", "2026-11-19T22:00", visit=visit)
    chart.lab("bilirubin-mass", "4.8", "2026-11-19T22:00", visit=visit)
    chart.lab("bilirubin-mass", "5.6", "2026-11-20T09:30", visit=visit)
    chart.lab("inr", "1.7", "2026-11-20T09:30", visit=visit)
    chart.lab("platelets", "45", "2026-11-21T07:00", visit=visit)
    kidneys_well(chart, visit)
    new_ascites(chart, visit)
    return [chart]


def no_diagnosis() -> list[Chart]:
    chart = Chart(patient="05-no-diagnosis", sex="male", born="1965-01-20")
    visit_in_may = chart.visit("2026-05-12T09:00", "2026-05-12T10:00")
    chart.lab("platelets", "118", "2026-05-12T09:20", visit=visit_in_may)
    chart.lab("bilirubin", "14", "2026-05-12T09:20", visit=visit_in_may)
    rising(chart)
    visit = admitted(chart, hepatology=False, start="2026-11-21T08:00")
    chart.lab("bilirubin", "130", "2026-11-21T09:30", visit=visit)
    chart.lab("inr", "1.7", "2026-11-21T09:30", visit=visit)
    kidneys_well(chart, visit)
    chart.report(
        ACTS["ultrasound"], "2026-11-21T15:00", "Ascites. Spleen enlarged, 15 cm.", visit=visit
    )
    return [chart]


def transferred() -> list[Chart]:
    chart = Chart(patient="06-transferred", sex="male", born="1982-03-03")
    visit = admitted(chart, start="2026-11-21T16:00", transferred=True)
    chart.problem("cirrhosis", recorded="2026-11-21T17:00", visit=visit)
    chart.lab("bilirubin", "198", "2026-11-21T17:30", visit=visit)
    chart.lab("alt", "610", "2026-11-21T17:30", visit=visit)
    chart.lab("inr", "1.9", "2026-11-22T06:20", visit=visit, status="preliminary")
    chart.letter("2026-11-21T16:10", "Letter of the referring hospital")
    kidneys_well(chart, visit)
    new_ascites(chart, visit, "2026-11-21")
    return [chart]


def covid() -> list[Chart]:
    chart = Chart(patient="07-covid", sex="female", born="1968-04-14")
    known_here(chart)
    baseline(chart, platelets="230", graded=False)
    rising(chart)
    visit = chart.visit("2026-11-15T20:00", kind="IMP")
    chart.problem("covid", onset="2026-11-14", visit=visit)
    chart.problem("sepsis", onset="2026-11-19", visit=visit)
    chart.give_drug("ceftriaxone", "2026-11-21T20:00", visit=visit)
    chart.lab("bilirubin", "150", "2026-11-21T06:00", visit=visit)
    chart.lab("inr", "1.8", "2026-11-21T06:00", visit=visit)
    kidneys_well(chart, visit)
    return [chart]


def other_trial() -> list[Chart]:
    chart, _ = typical("08-other-trial", born="1969-08-08")
    chart.in_study(OTHER_STUDY, "off-study", start="2026-03-02", end="2026-09-25")
    chart.in_study("third-trial", "candidate", start="2026-10-01")
    return [chart]


def no_pregnancy_test() -> list[Chart]:
    chart, _ = typical("09-no-pregnancy-test", "female", "1992-02-27")
    return [chart]


def provisional_cancer() -> list[Chart]:
    chart, visit = typical("10-provisional-cancer", born="1967-10-05")
    chart.problem(
        "hepatocellular-carcinoma", onset="2026-11-20", verification="provisional", visit=visit
    )
    chart.lab("afp", "680", "2026-11-20T09:30", visit=visit)
    excluded = concept(PROBLEMS["hepatocellular-carcinoma"][1])
    excluded["coding"][0]["extension"] = [{"url": _CERTAINTY, "valueCoding": {"code": "A"}}]
    chart.add("Condition", code=excluded, recordedDate="2026-10-12")
    return [chart]


def renal_replacement() -> list[Chart]:
    chart = Chart(patient="11-renal-replacement", sex="male", born="1976-01-31")
    known_here(chart)
    liver(chart)
    baseline(chart)
    visit = admitted(chart)
    jaundiced(chart, visit)
    chart.lab("creatinine-mass", "0.9", "2026-11-20T06:00", visit=visit)
    chart.procedure("cvvhdf", "2026-11-20T18:00", "", visit=visit)
    chart.lab("creatinine-mass", "1.1", "2026-11-22T05:00", visit=visit)
    new_ascites(chart, visit)
    grade_today(chart, visit)
    return [chart]


def expired() -> list[Chart]:
    chart = Chart(patient="12-expired", sex="male", born="1963-06-06")
    known_here(chart)
    liver(chart)
    baseline(chart)
    visit = chart.visit(
        "2026-11-19T08:00", "2026-11-22T05:12", kind="IMP", hepatology=True, disposition="exp"
    )
    jaundiced(chart, visit)
    chart.in_study(STUDY, "screening", start="2026-11-20")
    return [chart]


def newborn() -> list[Chart]:
    chart = Chart(patient="13-newborn", sex="female", born="1997-03-15")
    visit = chart.visit("2026-11-20T03:00", kind="IMP")
    baby = [{"reference": "Patient/13-newborn-baby"}]
    chart.lab("bilirubin", "190", "2026-11-21T08:00", visit=visit, focus=baby)
    chart.lab("inr", "1.6", "2026-11-21T08:00", visit=visit, focus=baby)
    return [chart]


def merged() -> list[Chart]:
    """Record A declined; A was replaced by B last night."""
    old = Chart(
        patient="14-merged-a",
        sex="female",
        born="1980-05-25",
        more={
            "active": False,
            "link": [{"other": {"reference": "Patient/14-merged-b"}, "type": "replaced-by"}],
        },
    )
    known_here(old)
    old.in_study(STUDY, "not-registered", start="2026-10-02", end="2026-10-02")
    new = Chart(
        patient="14-merged-b",
        sex="female",
        born="1980-05-25",
        more={"link": [{"other": {"reference": "Patient/14-merged-a"}, "type": "replaces"}]},
    )
    liver(new)
    baseline(new)
    visit = admitted(new)
    jaundiced(new, visit)
    kidneys_well(new, visit)
    new_ascites(new, visit)
    grade_today(new, visit)
    return [old, new]


def second_episode() -> list[Chart]:
    chart = Chart(patient="15-second-episode", sex="male", born="1974-11-02")
    known_here(chart)
    liver(chart)
    baseline(chart)
    first = chart.visit("2026-09-08T08:00", "2026-09-26T10:00", kind="IMP", hepatology=True)
    chart.lab("bilirubin", "205", "2026-09-08T09:00", visit=first)
    chart.lab("inr", "1.9", "2026-09-08T09:00", visit=first)
    chart.problem(
        "encephalopathy", onset="2026-09-10", recorded="2026-09-10", clinical="resolved",
        visit=first, abatementDateTime="2026-09-20",
    )  # fmt: skip
    chart.lab("west-haven", "2", "2026-09-12T08:00", visit=first)
    chart.in_study(STUDY, "ineligible", start="2026-09-09", end="2026-09-12")
    chart.lab("bilirubin", "22", "2026-10-05T09:00")
    baseline(chart, day="2026-11-06", bilirubin="19", albumin="36", platelets="118")
    visit = admitted(chart)
    jaundiced(chart, visit, bilirubin="160", inr="1.7")
    kidneys_well(chart, visit)
    new_ascites(chart, visit)
    grade_today(chart, visit)
    return [chart]


FIFTEEN = (
    whole_umol,
    warfarin,
    encephalopathy_without_grade,
    platelets_on_the_eve,
    no_diagnosis,
    transferred,
    covid,
    other_trial,
    no_pregnancy_test,
    provisional_cancer,
    renal_replacement,
    expired,
    newborn,
    merged,
    second_episode,
)

__all__ = ["FIFTEEN", "OTHER_STUDY", "STUDY"]
