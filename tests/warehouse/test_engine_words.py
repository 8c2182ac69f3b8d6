"""What an engine says of a value is nowhere to be read: not in the error, its causes or the log."""

from __future__ import annotations

import traceback

import pytest

from fhir_adapter.errors import WarehouseFault
from fhir_adapter.warehouse.arrow import pa
from fhir_adapter.warehouse.duckdb import Engine

VALUE = "Zanzibarius"


@pytest.mark.parametrize("place", ["common table", "answer"])
def test_a_value_that_duckdb_quotes_is_not_passed_on(
    place: str, caplog: pytest.LogCaptureFixture
) -> None:
    query = 'SELECT CAST("value" AS INTEGER) AS number FROM told'
    tables, finals = ([("one", query)], []) if place == "common table" else ([], [query])
    engine = Engine(threads=1)
    engine.tables({"told": pa.table({"value": [VALUE]})})
    with pytest.raises(Exception, match=VALUE):
        engine._connection.sql(query).fetchall()
    with pytest.raises(WarehouseFault, match="ConversionException") as caught:
        engine._run(tables, finals)
    engine.close()
    fault = caught.value
    shown = "".join(traceback.format_exception(fault))
    assert VALUE not in f"{fault} {fault!r} {fault.__cause__} {shown} {caplog.text}"
