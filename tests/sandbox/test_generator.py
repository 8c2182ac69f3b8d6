"""Generated patients: the same for a seed, of every kind, and judged without a failure."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import pytest

from fhir_adapter import load_study, screen
from fhir_adapter.fhir.resources import problems
from fhir_adapter.fhir.wire import encode
from fhir_adapter.sandbox import generator

from cli.cli_for_tests import AS_OF, run


def digest(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


def test_a_seed_gives_the_same_bytes_and_another_seed_other_people(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert list(generator.write(5, tmp_path / name, seed=seed)) == [1, 2, 3, 4, 5]
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    assert digest(tmp_path / "a") != digest(tmp_path / "c")


def test_a_patient_is_the_same_however_many_are_asked_for() -> None:
    few, many = list(generator.patients(3)), list(generator.patients(9))
    assert [encode(chart.bundle()) for chart in few] == [
        encode(chart.bundle()) for chart in many[:3]
    ]


def test_records_are_of_a_plausible_size_and_valid() -> None:
    charts = list(generator.patients(40))
    sizes = [len(chart.resources) for chart in charts]
    assert min(sizes) >= 30
    assert max(sizes) <= 90
    for chart in charts[:5]:
        for resource in chart.resources:
            assert problems(resource) == ()


@pytest.mark.slow
@pytest.mark.property
def test_every_kind_meets_its_outcome(tmp_path: Path) -> None:
    """Liver failure is found; healthy and COVID-like people are not proposed."""
    list(generator.write(120, tmp_path / "made"))
    found = list(screen(load_study(), tmp_path / "made", as_of=AS_OF))
    assert len(found) == 120
    assert [one.error for one in found if one.error is not None] == []
    outcomes = Counter(
        (one.decision.outcome.value, one.decision.labs_only) for one in found if one.decision
    )
    assert outcomes["not-proposed", False] > 60
    assert sum(n for (outcome, _), n in outcomes.items() if outcome in ("candidate", "needs-data"))
    assert any(labs_only for _, labs_only in outcomes)


def test_the_command_writes_a_folder_and_refuses_a_used_one(tmp_path: Path) -> None:
    out = tmp_path / "new"
    made = run("cohort", "generate", "3", "--out", str(out))
    assert made.status == 0
    assert "3 patients in" in made.flat
    assert (out / "Patient.ndjson.gz").stat().st_size > 0
    again = run("cohort", "generate", "3", "--out", str(out))
    assert again.status == 2
    assert "not empty" in again.flat
