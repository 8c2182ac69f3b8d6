"""The record server as a source of records, as the settings want it to be asked."""

from __future__ import annotations

import re

from fhir_adapter.bootstrap.clients import record_client
from fhir_adapter.bootstrap.profiles import record_profile
from fhir_adapter.client import FhirClient
from fhir_adapter.errors import SettingInvalid
from fhir_adapter.model.server import ServerProfile
from fhir_adapter.ports import RecordSource
from fhir_adapter.pull.batching import Batch
from fhir_adapter.pull.categories import CATEGORISED
from fhir_adapter.pull.record import ServerRecords
from fhir_adapter.pull.record_server import LISTS_NOTHING
from fhir_adapter.settings import Settings

_PAGE = 500
_CATEGORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*|https?://[^\s|,;]+\|[A-Za-z0-9.-]+")
"""A code, or system|code."""


def server_records(
    settings: Settings,
    client: FhirClient | None = None,
    *,
    capability_of: ServerRecords | None = None,
) -> ServerRecords:
    """A source for one run; with ``capability_of`` what that one knows of the server already."""
    profile = record_profile(settings)
    return ServerRecords(
        client or record_client(settings),
        page_size=page_size(profile),
        batch=_batch(settings),
        categories=categories_of(settings.record.categories),
        profile=profile,
        capability_of=capability_of,
    )


def remark_on(source: RecordSource) -> str:
    """What is to be said of a server after a run over it; empty where nothing is."""
    is_silent = isinstance(source, ServerRecords) and source.lists_nothing
    return LISTS_NOTHING if is_silent else ""


def page_size(profile: ServerProfile | None) -> int:
    """How many to ask for: a full page shows that there may be more only where it can be full."""
    largest = profile.largest_page if profile is not None else 0
    return min(_PAGE, largest) if largest else _PAGE


def categories_of(setting: str) -> dict[str, tuple[str, ...]]:
    """``TYPE: CATEGORY, CATEGORY; TYPE: ...``: by what each type is searched beside the patient."""
    found = dict[str, tuple[str, ...]]()
    for one in filter(None, map(str.strip, setting.split(";"))):
        name, _, listed = (part.strip() for part in one.partition(":"))
        codes = tuple(code.strip() for code in listed.split(","))
        if name not in CATEGORISED or not all(map(_CATEGORY.fullmatch, codes)):
            raise SettingInvalid(
                "record_categories cannot be read",
                where="record_categories",
                remedy='Write "Observation: laboratory, vital-signs; Condition: ...", of these '
                f"types: {', '.join(CATEGORISED)}.",
            )
        found[name] = codes
    return found


def _batch(settings: Settings) -> Batch:
    try:
        return Batch(settings.record.batch)
    except ValueError:
        raise SettingInvalid(
            "record_batch is unknown", remedy="Write auto, always or never."
        ) from None
