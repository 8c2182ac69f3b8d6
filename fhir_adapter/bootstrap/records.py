"""The record server as a source of records, as the settings want it to be asked."""

from __future__ import annotations

from fhir_adapter.bootstrap.clients import record_client
from fhir_adapter.client import FhirClient
from fhir_adapter.errors import SettingInvalid
from fhir_adapter.pull.batching import Batch
from fhir_adapter.pull.record import ServerRecords
from fhir_adapter.settings import Settings


def server_records(
    settings: Settings,
    client: FhirClient | None = None,
    *,
    capability_of: ServerRecords | None = None,
) -> ServerRecords:
    """A source for one run; with ``capability_of`` what that one knows of the server already."""
    return ServerRecords(
        client or record_client(settings),
        batch=_batch(settings),
        capability_of=capability_of,
    )


def _batch(settings: Settings) -> Batch:
    try:
        return Batch(settings.record.batch)
    except ValueError:
        raise SettingInvalid(
            "record_batch is unknown", remedy="Write auto, always or never."
        ) from None
