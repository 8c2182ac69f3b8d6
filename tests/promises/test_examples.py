"""Every example in a docstring runs."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import runpy
import sys

import pytest

import fhir_adapter

MODULES = sorted(
    found.name
    for found in pkgutil.walk_packages(fhir_adapter.__path__, "fhir_adapter.")
    if "migrations" not in found.name and not found.name.endswith("__main__")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert found.failed == 0


def test_there_are_examples_at_all() -> None:
    finder = doctest.DocTestFinder()
    modules = [importlib.import_module(name) for name in MODULES]
    assert sum(bool(test.examples) for m in modules for test in finder.find(m)) > 20


def test_python_minus_m_runs_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["fhir-adapter", "--version"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("fhir_adapter", run_name="__main__")
    assert ended.value.code in (0, None)
    assert capsys.readouterr().out.strip() == fhir_adapter.__version__
