"""HTTP to a FHIR R4 server: credentials, paging, retries, capability. Only here is requests."""

from __future__ import annotations

from fhir_adapter.client.auth import Auth, BasicAuth, BearerAuth
from fhir_adapter.client.batch import Entry, EntryAnswer
from fhir_adapter.client.bulk import (
    BulkClient,
    ExportAsked,
    ExportFile,
    ExportManifest,
)
from fhir_adapter.client.bulk_files import BulkFiles, Fetched
from fhir_adapter.client.capability import Capability, TypeCapability, capability_of, software_of
from fhir_adapter.client.fhir_client import FhirClient
from fhir_adapter.client.gate import Gate
from fhir_adapter.client.keys import SigningKey, signing_key
from fhir_adapter.client.network import Network
from fhir_adapter.client.outcomes import status_of, why_not_of
from fhir_adapter.client.paging import Found, Page, is_answer_to
from fhir_adapter.client.retry import RetryBudget
from fhir_adapter.client.saved import Saved
from fhir_adapter.client.smart import SmartAuth, SmartClient, smart_auth
from fhir_adapter.client.transport import Timeouts
from fhir_adapter.client.urls import Params, escaped, origin_of, query

__all__ = [
    "Auth",
    "BasicAuth",
    "BearerAuth",
    "BulkClient",
    "BulkFiles",
    "Capability",
    "Entry",
    "EntryAnswer",
    "ExportAsked",
    "ExportFile",
    "ExportManifest",
    "Fetched",
    "FhirClient",
    "Found",
    "Gate",
    "Network",
    "Page",
    "Params",
    "RetryBudget",
    "Saved",
    "SigningKey",
    "SmartAuth",
    "SmartClient",
    "Timeouts",
    "TypeCapability",
    "capability_of",
    "escaped",
    "is_answer_to",
    "origin_of",
    "query",
    "signing_key",
    "smart_auth",
    "software_of",
    "status_of",
    "why_not_of",
]
