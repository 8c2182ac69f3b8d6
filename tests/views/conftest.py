"""What the tests of the views share."""

from __future__ import annotations

import pytest

from fhir_adapter import bootstrap
from fhir_adapter.settings import Settings

from view_records import Record, all_records


@pytest.fixture(scope="session")
def records() -> list[Record]:
    return all_records(bootstrap.bench(Settings()))
