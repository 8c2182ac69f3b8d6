"""10,000 generated studies on one patient: all outcomes, and again after one changed fact.

The patients are those of the seeded generator with 53 to 57 resources, as built facts. The
yardstick of the same run is a sample of 100 studies, each compiled, judged and decided alone;
their outcomes are compared before anything is timed. CPU time is given beside wall-clock time,
because the machine may be shared.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from random import Random

import msgspec

from benchmarks import studies as generated
from benchmarks.measure import Figure, table, timed
from benchmarks.record_lane import AS_OF, _record
from fhir_adapter import load_study
from fhir_adapter.artifacts import mappings_dir
from fhir_adapter.decide.outcome import outcome_of
from fhir_adapter.evaluate.many import ManyStudies, Marked, SiteStudy
from fhir_adapter.evaluate.record import judge
from fhir_adapter.fhir.wire import decode, encode
from fhir_adapter.model.decision import Outcome
from fhir_adapter.model.fact import Kind, PatientRecord
from fhir_adapter.sandbox import generator
from fhir_adapter.screening import OUTCOMES, outcomes
from fhir_adapter.terminology import load_code_sets, load_mappings

STUDIES = int(os.environ.get("STUDIES", "10000"))
SAMPLE = 100
ROUNDS = 20
LEAST, MOST = 53, 57
REFUTED = (Outcome.NOT_PROPOSED, Outcome.NOT_ELIGIBLE, Outcome.NOT_NOW)


@dataclass(frozen=True, kw_only=True)
class Made:
    """Everything that is made once."""

    many: ManyStudies
    patients: list[PatientRecord]
    moment: int
    notes: list[str]


def main() -> str:
    """The table, what was made ready, and what came out."""
    made = _make()
    sample = Random(1).sample(range(STUDIES), min(SAMPLE, STUDIES))  # noqa: S311 - nothing secret
    _compare(made, sample)
    items = [patient for patient in made.patients for _ in range(ROUNDS)]
    before = {id(patient): _all(made, patient) for patient in made.patients}
    changed = {id(patient): _changed(patient) for patient in made.patients}
    likely = {key: _not_refuted(marked) for key, marked in before.items()}

    def again(patient: PatientRecord) -> object:
        return outcomes(made.many.again(before[id(patient)], changed[id(patient)]))

    def alone(patient: PatientRecord) -> object:
        return [_alone(made, patient, number) for number in sample]

    def whole(patient: PatientRecord) -> object:
        return [_alone(made, patient, number) for number in likely[id(patient)]]

    every = _figure(f"all outcomes of {STUDIES} studies", items, lambda p: outcomes(_all(made, p)),
                    made, target="10")  # fmt: skip
    once = _figure("the same after one changed value", items, again, made)
    single = _figure(f"{len(sample)} studies, each alone (yardstick)", made.patients, alone, made)
    full = _figure("full results of all that are not refuted", made.patients, whole, made)
    scale = single.p50 * STUDIES / len(sample)
    figures = [
        _with(every, f"{scale / every.p50:.0f} x faster than each alone"),
        _with(once, f"{scale / once.p50:.0f} x"),
        single,
        full,
    ]
    counts = sorted(len(numbers) for numbers in likely.values())
    made.notes.append(f"Not refuted: {counts[0]} to {counts[-1]} studies a patient.")
    title = f"Many studies, {len(made.patients)} patients with {LEAST} to {MOST} resources"
    return "\n".join((table(title, figures), "", *made.notes))


def _make() -> Made:
    study = load_study()
    mappings = load_mappings(
        mappings_dir(), "demo",
        code_sets=load_code_sets(mappings_dir() / "terminology" / "value-sets"),
    )  # fmt: skip
    charts = [c for c in generator.patients(300) if LEAST <= len(c.resources) <= MOST]
    some = [SiteStudy(one, mappings) for one in generated.studies(STUDIES)]
    room, begun = _memory(), time.process_time()
    many = ManyStudies(some, OUTCOMES)
    spent, taken = time.process_time() - begun, _memory() - room
    criteria = sum(len(one.study.criteria) for one in some)
    lines = f"{criteria} criteria are {many.distinct} distinct lines"
    cost = f"{spent:.1f} s of CPU time and {taken:.0f} MiB beside the studies themselves"
    notes = [f"{lines}; made ready in {cost}."]
    patients = [_record(decode(encode(c.bundle())), study.bench.screener) for c in charts]
    return Made(many=many, patients=patients, moment=study.moment(AS_OF), notes=notes)


def _memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _all(made: Made, patient: PatientRecord) -> Marked:
    return made.many.judge(patient, made.moment)


def _alone(made: Made, patient: PatientRecord, number: int) -> Outcome:
    compiled = made.many.studies[number].compiled
    results = judge(compiled, compiled.case(patient, made.moment)).results
    return outcome_of(compiled.study, results)


def _compare(made: Made, sample: Sequence[int]) -> None:
    for patient in made.patients:
        found = outcomes(_all(made, patient))
        for number in sample:
            assert found[number] is _alone(made, patient, number)
        after = _changed(patient)
        again = made.many.again(_all(made, patient), after)
        assert outcomes(again) == outcomes(_all(made, after))


def _not_refuted(marked: Marked) -> list[int]:
    return [n for n, outcome in enumerate(outcomes(marked)) if outcome not in REFUTED]


def _changed(patient: PatientRecord) -> PatientRecord:
    """The newest laboratory value came out otherwise."""
    labs = [f for f in patient.facts if f.kind is Kind.OBSERVATION and f.value_lo is not None]
    newest = max(labs, key=lambda fact: (fact.start_lo, fact.source))
    assert newest.value_lo is not None
    value = newest.value_lo * Decimal(3)
    other = msgspec.structs.replace(
        newest, value_lo=value, value_hi=value, reported_lo=None, reported_hi=None
    )
    facts = tuple(other if fact is newest else fact for fact in patient.facts)
    return msgspec.structs.replace(patient, facts=facts)


def _figure(
    name: str,
    items: Sequence[PatientRecord],
    work: Callable[[PatientRecord], object],
    made: Made,
    *,
    target: str = "",
) -> Figure:
    """Wall clock by ``timed``; the mean of CPU time in a note."""
    figure = timed(name, items, work, target=target)  # type: ignore[arg-type] # its items go in
    begun = time.process_time()
    for item in items:
        work(item)
    spent = (time.process_time() - begun) * 1000 / len(items)
    made.notes.append(f"CPU time, {name}: {spent:.1f} ms.")
    return figure


def _with(figure: Figure, ratio: str) -> Figure:
    return Figure(
        name=figure.name, p50=figure.p50, p99=figure.p99, target=figure.target, ratio=ratio
    )
