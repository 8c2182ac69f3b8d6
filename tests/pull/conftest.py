"""The fake server and a client that talks to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fhir_fake import Fake, serving

from fhir_adapter.client import FhirClient


@pytest.fixture
def fake() -> Iterator[Fake]:
    with serving(Fake()) as running:
        yield running


@pytest.fixture
def client(fake: Fake) -> Iterator[FhirClient]:
    made = FhirClient(fake.url, sleep=lambda _: None)
    yield made
    made.close()
