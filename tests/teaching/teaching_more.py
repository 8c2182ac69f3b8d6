"""Twenty-seven more teaching patients, each named by what it teaches."""

from __future__ import annotations

from fhir_adapter.model.vocabulary import NO, YES
from fhir_adapter.sandbox.chart import Chart

from teaching.teaching_fifteen import STUDY
from teaching.teaching_parts import (
    admitted,
    baseline,
    grade_today,
    jaundiced,
    kidneys_well,
    known_here,
    liver,
    new_ascites,
    typical,
)

_QUESTIONNAIRE = "https://fhir-adapter.example/fhir/Questionnaire/"


def answers(chart: Chart, given: dict[str, str], when: str) -> None:
    """A person's answers, as the study's questionnaire takes them."""
    coded = {"yes": YES, "no": NO}
    chart.add(
        "QuestionnaireResponse",
        questionnaire=f"{_QUESTIONNAIRE}{STUDY}",
        status="completed",
        authored=chart.at(when),
        author={"reference": "Practitioner/teaching-physician"},
        item=[
            {
                "linkId": question,
                "answer": [{"valueCoding": {"system": coded[word].system, "code": word}}],
            }
            for question, word in given.items()
        ],
    )


def seventy_until_tomorrow() -> list[Chart]:
    """70 lasts until the day before the 71st birthday."""
    return [typical("16-seventy-until-tomorrow", born="1955-11-23")[0]]


def seventeen() -> list[Chart]:
    return [typical("17-seventeen", born="2009-01-31")[0]]


def born_in_1955() -> list[Chart]:
    """Only the year of birth is known: 70 or 71."""
    return [typical("18-born-in-1955", born="1955")[0]]


def class_c_before() -> list[Chart]:
    chart = Chart(patient="19-class-c-before", sex="male", born="1970-12-01")
    known_here(chart)
    liver(chart)
    baseline(chart, bilirubin="60", albumin="25", inr="1.9", graded=False)
    chart.grade_of_ascites("mild", "2026-06-15T09:40")
    chart.lab("west-haven", "1", "2026-06-15T09:40")
    visit = admitted(chart)
    jaundiced(chart, visit)
    kidneys_well(chart, visit)
    new_ascites(chart, visit)
    grade_today(chart, visit)
    return [chart]


def low_platelets_before() -> list[Chart]:
    return [typical("20-low-platelets-before", platelets="41")[0]]


def confirmed_cancer() -> list[Chart]:
    chart, visit = typical("21-confirmed-cancer", born="1961-04-09")
    chart.problem(
        "hepatocellular-carcinoma", onset="2026-08-03", recorded="2026-08-03", visit=visit
    )
    return [chart]


def skin_cancer() -> list[Chart]:
    chart, _ = typical("22-skin-cancer", born="1960-02-02")
    chart.problem("skin-cancer", onset="2021-05-05", recorded="2026-03-10", clinical="resolved")
    return [chart]


def without_inr(patient: str, activity: str) -> list[Chart]:
    """Only a prothrombin activity was measured."""
    chart = Chart(patient=patient, sex="male", born="1977-07-07")
    known_here(chart)
    liver(chart)
    baseline(chart)
    visit = admitted(chart)
    chart.lab("bilirubin", "180", "2026-11-20T09:30", visit=visit)
    chart.lab("activity", activity, "2026-11-20T09:30", visit=visit)
    chart.lab("alt", "540", "2026-11-20T09:30", visit=visit)
    kidneys_well(chart, visit)
    new_ascites(chart, visit)
    grade_today(chart, visit)
    return [chart]


def activity_alone() -> list[Chart]:
    """Prothrombin activity below 40 % fits without an INR."""
    return without_inr("23-activity-alone", "31")


def activity_of_43() -> list[Chart]:
    """An activity of 40 % or more without an INR leaves I2d open."""
    return without_inr("24-activity-of-43", "43")


def inr_without_unit() -> list[Chart]:
    chart = Chart(patient="25-inr-without-unit", sex="male", born="1981-10-10")
    known_here(chart)
    liver(chart)
    baseline(chart)
    visit = admitted(chart)
    jaundiced(chart, visit, inr="1.2", day="2026-11-19")
    chart.lab("bilirubin", "205", "2026-11-21T06:00", visit=visit)
    chart.lab("inr", "1.5", "2026-11-21T06:00", visit=visit, unit="")
    kidneys_well(chart, visit)
    new_ascites(chart, visit)
    grade_today(chart, visit)
    return [chart]


def just_below_in_mass() -> list[Chart]:
    """4.98 mg/dL is against, and printed borderline."""
    chart = Chart(patient="26-just-below-in-mass", sex="female", born="1966-09-09")
    known_here(chart)
    liver(chart)
    baseline(chart)
    visit = admitted(chart)
    chart.lab("bilirubin-mass", "4.98", "2026-11-21T06:00", visit=visit)
    chart.lab("inr", "1.8", "2026-11-21T06:00", visit=visit)
    kidneys_well(chart, visit)
    grade_today(chart, visit)
    return [chart]


def stale_bilirubin() -> list[Chart]:
    chart = Chart(patient="27-stale-bilirubin", sex="male", born="1973-03-21")
    known_here(chart)
    liver(chart)
    baseline(chart)
    visit = admitted(chart, start="2026-11-12T08:00")
    jaundiced(chart, visit, day="2026-11-13")
    kidneys_well(chart, visit)
    new_ascites(chart, visit, "2026-11-13")
    grade_today(chart, visit)
    return [chart]


def recovering() -> list[Chart]:
    """The newest bilirubin is below the bound within an episode: a question, not a no."""
    chart, visit = typical("28-recovering", born="1984-08-18")
    chart.lab("bilirubin", "74", "2026-11-22T05:30", visit=visit)
    return [chart]


def grade_three() -> list[Chart]:
    return [typical("29-grade-three", born="1979-05-15", grade="3")[0]]


def kidney_injury() -> list[Chart]:
    chart, visit = typical("30-kidney-injury", born="1968-11-28")
    chart.lab("creatinine", "121", "2026-11-22T05:30", visit=visit)
    return [chart]


def bled_this_week() -> list[Chart]:
    chart, visit = typical("31-bled-this-week", born="1971-01-11")
    chart.problem("melena", onset="2026-11-19", visit=visit)
    return [chart]


def under_antibiotics() -> list[Chart]:
    chart, visit = typical("32-under-antibiotics", born="1975-06-25")
    chart.problem("sepsis", onset="2026-11-20", visit=visit)
    chart.give_drug("ceftriaxone", "2026-11-21T20:00", visit=visit)
    return [chart]


def tacrolimus() -> list[Chart]:
    """Last dose on 12 November: not now, until the month is over."""
    chart, _ = typical("33-tacrolimus", born="1985-12-12")
    chart.give_drug("tacrolimus", "2026-11-12T08:00")
    return [chart]


def prednisolone() -> list[Chart]:
    """A systemic corticosteroid is for the investigator; the patient stays a candidate."""
    chart, visit = typical("34-prednisolone", born="1983-02-14")
    chart.give_drug("prednisolone", "2026-11-21T08:00", visit=visit)
    return [chart]


def transplanted() -> list[Chart]:
    chart, _ = typical("35-transplanted", born="1969-09-30")
    chart.procedure("liver-transplantation", "2018-02-20")
    return [chart]


def opted_out() -> list[Chart]:
    chart, _ = typical("36-opted-out", born="1978-10-20")
    chart.add(
        "Consent",
        status="active",
        scope={
            "coding": [
                {"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "research"}
            ]
        },
        category=[
            {
                "coding": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/consentcategorycodes",
                        "code": "research",
                    }
                ]
            }
        ],
        dateTime="2026-09-01",
        policyRule={
            "coding": [
                {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "OPTOUT"}
            ]
        },
        provision={"type": "deny"},
    )
    return [chart]


def test_record() -> list[Chart]:
    chart, _ = typical("37-test-record")
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HTEST"}
    chart.resources[0]["meta"] = {"tag": [label]}
    return [chart]


def alcohol_is_not_drug_abuse() -> list[Chart]:
    chart, _ = typical("38-alcohol-is-not-drug-abuse", born="1976-04-04")
    chart.problem("alcohol-dependence", onset="2010-01-01", recorded="2026-03-10")
    return [chart]


def psychosis() -> list[Chart]:
    chart, _ = typical("39-psychosis", "female", "1988-07-17")
    chart.problem("schizophrenia", onset="2012-03-03", recorded="2026-03-10")
    return [chart]


def embolism_in_the_past() -> list[Chart]:
    """A history alone never excludes: the investigator judges."""
    chart, _ = typical("40-embolism-in-the-past", born="1964-08-29")
    chart.problem(
        "pulmonary-embolism", onset="2016-07-01", recorded="2026-03-10", clinical="resolved"
    )
    return [chart]


def withdrawn_result() -> list[Chart]:
    """The only high bilirubin was entered in error: it is listed and decides nothing."""
    chart = Chart(patient="41-withdrawn-result", sex="male", born="1980-01-19")
    known_here(chart)
    liver(chart)
    baseline(chart)
    visit = admitted(chart)
    chart.lab("bilirubin", "260", "2026-11-21T06:00", visit=visit, status="entered-in-error")
    chart.lab("inr", "1.8", "2026-11-21T06:00", visit=visit)
    kidneys_well(chart, visit)
    grade_today(chart, visit)
    return [chart]


def all_answered() -> list[Chart]:
    """Everything that needs a person has been answered: nothing is left to ask."""
    chart, _ = typical("42-all-answered", born="1972-02-22")
    answers(
        chart,
        {
            "consent-willing": "yes",
            "plans-baby": "no",
            "investigator-judgement": "no",
        },
        "2026-11-22T07:00",
    )
    return [chart]


MORE = (
    seventy_until_tomorrow,
    seventeen,
    born_in_1955,
    class_c_before,
    low_platelets_before,
    confirmed_cancer,
    skin_cancer,
    activity_alone,
    activity_of_43,
    inr_without_unit,
    just_below_in_mass,
    stale_bilirubin,
    recovering,
    grade_three,
    kidney_injury,
    bled_this_week,
    under_antibiotics,
    tacrolimus,
    prednisolone,
    transplanted,
    opted_out,
    test_record,
    alcohol_is_not_drug_abuse,
    psychosis,
    embolism_in_the_past,
    withdrawn_result,
    all_answered,
)
