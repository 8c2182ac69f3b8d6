"""Finished resources to a FHIR server, never over a person; every write is read back."""

from __future__ import annotations

from fhir_adapter.writeback.duplicates import Aliases, Forms, Repair, Repaired, Stored
from fhir_adapter.writeback.listing import Listed, Listing
from fhir_adapter.writeback.needs import LastWritten, SubjectLedger, SubjectState, WriteClient
from fhir_adapter.writeback.sending import Sender
from fhir_adapter.writeback.sink import ServerSink
from fhir_adapter.writeback.strategy import Choice, Strategy, choose

__all__ = [
    "Aliases",
    "Choice",
    "Forms",
    "LastWritten",
    "Listed",
    "Listing",
    "Repair",
    "Repaired",
    "Sender",
    "ServerSink",
    "Stored",
    "Strategy",
    "SubjectLedger",
    "SubjectState",
    "WriteClient",
    "choose",
]
