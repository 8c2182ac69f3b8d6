"""What most teaching patients of NCT05985863 share; as of 22 November 2026, 07:40 Shanghai."""

from __future__ import annotations

from fhir_adapter.sandbox.chart import Chart

WARD = "2026-11-20T08:00"
"""Admission to the hepatology ward."""


def known_here(chart: Chart) -> None:
    """Two visits of the past year with problems, a procedure and orders: known here."""
    for day in ("2026-03-10", "2026-06-15"):
        visit = chart.visit(f"{day}T09:00", f"{day}T11:00")
        chart.problem("hypertension", onset="2019-04-02", recorded=day, visit=visit)
        chart.procedure("ultrasound", f"{day}T09:30", visit=visit)
        chart.order(
            ("http://snomed.info/sct", "26604007", "Complete blood count"),
            f"{day}T09:10",
            visit=visit,
        )


def liver(chart: Chart, *, disease: str = "hepatitis-b", cirrhosis: str = "cirrhosis") -> None:
    """Chronic liver disease, and cirrhosis unless the name is empty."""
    if disease:
        chart.problem(disease, onset="2015-02-01", recorded="2026-03-10")
    if cirrhosis:
        chart.problem(cirrhosis, onset="2024-05-01", recorded="2026-03-10")


def baseline(
    chart: Chart,
    *,
    day: str = "2026-06-15",
    platelets: str = "142",
    bilirubin: str = "18",
    albumin: str = "39",
    inr: str = "1.1",
    graded: bool = True,
) -> None:
    """Five items of a Child-Pugh score and a platelet count, on a day without jaundice."""
    chart.lab("bilirubin", bilirubin, f"{day}T09:20")
    chart.lab("inr", inr, f"{day}T09:20")
    chart.lab("albumin", albumin, f"{day}T09:20")
    chart.lab("platelets", platelets, f"{day}T09:20")
    chart.lab("creatinine", "70", f"{day}T09:20")
    if graded:
        chart.grade_of_ascites("none", f"{day}T09:40")
        chart.lab("west-haven", "0", f"{day}T09:40")


def admitted(
    chart: Chart, *, hepatology: bool = True, start: str = WARD, transferred: bool = False
) -> str:
    """The stay that holds as_of."""
    return chart.visit(start, kind="IMP", hepatology=hepatology, transferred=transferred)


def jaundiced(
    chart: Chart,
    visit: str,
    *,
    bilirubin: str = "210",
    inr: str = "1.8",
    day: str = "2026-11-20",
) -> None:
    """Bilirubin and INR of one sample, and liver enzymes above five times their limit."""
    chart.lab("bilirubin", bilirubin, f"{day}T09:30", visit=visit)
    chart.lab("inr", inr, f"{day}T09:30", visit=visit)
    chart.lab("alt", "640", f"{day}T09:30", visit=visit)
    chart.lab("ast", "520", f"{day}T09:30", visit=visit)


def rising(chart: Chart, day: str = "2026-11-08") -> None:
    """A bilirubin below the bound in the weeks before: the liver injury is acute."""
    chart.lab("bilirubin", "41", f"{day}T09:00")


def kidneys_well(chart: Chart, visit: str) -> None:
    """Two steady creatinine results, and one of the last three months."""
    chart.lab("creatinine", "71", "2026-09-20T09:00")
    chart.lab("creatinine", "70", "2026-11-20T09:30", visit=visit)
    chart.lab("creatinine", "72", "2026-11-21T07:00", visit=visit)


def new_ascites(chart: Chart, visit: str, day: str = "2026-11-20") -> None:
    """Ascites that appeared with the jaundice."""
    chart.problem("ascites", onset=day, recorded=day, visit=visit)


def grade_today(chart: Chart, visit: str, grade: str = "0") -> None:
    """A West Haven grade of this morning."""
    chart.lab("west-haven", grade, "2026-11-22T06:30", visit=visit)


def typical(
    patient: str,
    sex: str = "male",
    born: str = "1972-05-04",
    *,
    grade: str | None = "0",
    ascites: bool = True,
    bilirubin: str = "210",
    inr: str = "1.8",
    platelets: str = "142",
) -> tuple[Chart, str]:
    """Everything fits, unless said otherwise; gives the chart and the current stay."""
    chart = Chart(patient=patient, sex=sex, born=born)
    known_here(chart)
    liver(chart)
    baseline(chart, platelets=platelets)
    visit = admitted(chart)
    jaundiced(chart, visit, bilirubin=bilirubin, inr=inr)
    kidneys_well(chart, visit)
    if ascites:
        new_ascites(chart, visit)
    if grade is not None:
        grade_today(chart, visit, grade)
    return chart, visit
