"""A look at a server: what a study needs of it, then every check of the doctor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from time import monotonic

from fhir_adapter.bootstrap.clients import record_client
from fhir_adapter.bootstrap.judging import SystemClock, run_id
from fhir_adapter.bootstrap.writing import chosen
from fhir_adapter.doctor import Report, examine, token_of
from fhir_adapter.errors import AdapterError
from fhir_adapter.settings import Settings
from fhir_adapter.writeback import Choice

_PATIENCE = 10
"""Seconds for one answer: a screening waits longer."""
_SHARE = 0.7


def examine_server(
    settings: Settings,
    *,
    write: bool,
    known_patient: str,
    until: float,
    told: Callable[[tuple[str, ...]], None],
) -> Report:
    """Every check, as far as they go until a moment of the monotonic clock.

    Nothing that an earlier run found is used.
    """
    seconds = max(1.0, until - monotonic())
    now = SystemClock().now()
    client = record_client(settings, patience=min(int(seconds), _PATIENCE), takes_r5=False)
    return examine(
        client,
        token=token_of(run_id(), until=now + timedelta(seconds=seconds)),
        now=now,
        write=write,
        patient=known_patient,
        seconds=seconds,
        told=told,
    )


def choice_for(settings: Settings, found: Report) -> Choice | None:
    """What writing back does with a server of these findings; None where it was not to be asked."""
    if found.not_asked:
        return None
    try:
        return chosen(record_client(settings, patience=_PATIENCE), found.profile)
    except AdapterError:
        return None


def afresh(settings: Settings) -> Settings:
    """Without what an earlier run found: it may be of another server by now."""
    return replace(
        settings,
        record=replace(settings.record, profile=""),
        write=replace(settings.write, profile=""),
    )


def moments(seconds: int) -> tuple[float, float]:
    """When the server as such, and then the study, has had its time: on the monotonic clock."""
    now = monotonic()
    return now + seconds * _SHARE, now + seconds
