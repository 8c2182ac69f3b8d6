"""Which engine is taken, and what is said where it cannot be had."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from fhir_adapter.bootstrap.cohorts import cohort_engine
from fhir_adapter.errors import SettingInvalid
from fhir_adapter.settings import Settings

from cli.cli_for_tests import run


def test_duckdb_is_the_engine_that_nobody_has_to_name() -> None:
    with cohort_engine(Settings()) as engine:
        assert engine is None  # then a store takes DuckDB, an engine for each core


def test_an_engine_that_is_none_is_refused_by_name() -> None:
    with pytest.raises(SettingInvalid, match="polars"), cohort_engine(Settings(engine="polars")):
        pass


def test_spark_without_an_address_says_what_to_write() -> None:
    with pytest.raises(SettingInvalid) as raised, cohort_engine(Settings(engine="spark")):
        pass
    assert "--spark-remote" in raised.value.remedy


@pytest.mark.skipif(find_spec("pyspark") is not None, reason="the extra is installed here")
def test_without_the_extra_the_command_says_how_to_install_it(tmp_path: Path) -> None:
    args = ("--engine", "spark", "--spark-remote", "sc://127.0.0.1:1")
    ran = run("cohort", "screen", str(tmp_path), *args)
    assert ran.status == 2
    assert "fhir-adapter[spark]" in ran.err
