"""mappings/sites/<name>.toml: one hospital's zone, codes, certainty flags, stops and bases."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta

from fhir_adapter.errors import SiteInvalid
from fhir_adapter.model.code import Code
from fhir_adapter.model.criterion import DurationText
from fhir_adapter.model.fact import Kind
from fhir_adapter.model.mapping import Basis, LocalCode, SiteRules
from fhir_adapter.terminology.reading import Table, code_of, read_table, shown

Text = Annotated[str, Meta(min_length=1)]

_CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
RESTRICTED_LABELS = (f"{_CONFIDENTIALITY}|R", f"{_CONFIDENTIALITY}|V")
"""Restricted and very restricted: left out where a site file says nothing (``[]`` reads them)."""


class AliasTable(Table, frozen=True, kw_only=True):
    """One ``[[system-alias]]``: the same code system under another name."""

    written: Text
    standard: Text


class _Certainty(Table, frozen=True, kw_only=True):
    extension: Text
    flags: dict[str, Literal["confirmed", "suspected", "excluded", "history"]]


class _LocalCodes(Table, frozen=True, kw_only=True):
    system: Text
    standard_system: Text
    source: Text
    complete: bool = False
    map: dict[str, str]


class _Basis(Table, frozen=True, kw_only=True):
    study: Text
    approval: Text
    valid_from: date
    valid_to: date
    visible_to: Text


class _StudySetting(Table, frozen=True, kw_only=True):
    study: Text
    name: Text
    value: DurationText


class _SiteFile(Table, frozen=True, kw_only=True):
    format: Literal[1]
    title: Text
    name: Text | None = None
    zone: Text | None = None
    notes: tuple[str, ...] = ()
    reference_date_rule: str = ""
    complete_kinds: tuple[Kind, ...] = ()
    outside_without_custodian: bool = True
    own_custodians: tuple[str, ...] = ()
    outside_types: tuple[str, ...] = ()
    test_identifier_systems: tuple[str, ...] = ()
    test_tags: tuple[str, ...] = ()
    restricted_labels: tuple[str, ...] = RESTRICTED_LABELS
    follow_seealso: bool = False
    no_consent_means: Literal["no-refusal", "refusal"] = "no-refusal"
    system_alias: tuple[AliasTable, ...] = msgspec.field(default=())
    certainty: tuple[_Certainty, ...] = ()
    local_code: tuple[_LocalCodes, ...] = ()
    basis: tuple[_Basis, ...] = ()
    study_setting: tuple[_StudySetting, ...] = ()


_INNER = (AliasTable, _Certainty, _LocalCodes, _Basis, _StudySetting)


def load_site(path: Path) -> SiteRules:
    """The rules of one site file; SiteInvalid says what to mend.

    The site has the file's name, unless the file says another: fact tables know a site by it.
    """
    return read_site(path)[0]


def read_site(path: Path) -> tuple[SiteRules, frozenset[str]]:
    """The rules, and the local code systems of which only some codes are mapped."""
    found = read_table(path, _SiteFile, _INNER, SiteInvalid)
    partial = frozenset(group.system for group in found.local_code if not group.complete)
    return _rules(found, path), partial


def _rules(found: _SiteFile, path: Path) -> SiteRules:
    zone = _zone(found.zone, path)
    _check_windows(found, path)
    return SiteRules(
        name=found.name or path.stem,
        zone=zone,
        system_aliases=tuple((alias.written, alias.standard) for alias in found.system_alias),
        local_codes=tuple(_local_codes(found.local_code)),
        certainty=_certainty(found.certainty),
        complete_kinds=tuple(kind.value for kind in found.complete_kinds),
        outside_without_custodian=found.outside_without_custodian,
        own_custodians=found.own_custodians,
        outside_types=_codes(found.outside_types, path),
        test_identifier_systems=found.test_identifier_systems,
        test_tags=_codes(found.test_tags, path),
        restricted_labels=_codes(found.restricted_labels, path),
        follow_seealso=found.follow_seealso,
        no_consent_means=found.no_consent_means,
        reference_date_rule=found.reference_date_rule,
        bases=tuple(_basis(entry) for entry in found.basis),
        study_settings=tuple((one.study, one.name, one.value) for one in found.study_setting),
    )


def _zone(name: str | None, path: Path) -> ZoneInfo:
    remedy = 'Name an IANA time zone, such as zone = "Europe/Berlin".'
    if name is None:
        raise SiteInvalid("the site has no zone", where=shown(path), remedy=remedy)
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as fault:
        message = f"{name!r} is not a known time zone"
        raise SiteInvalid(message, where=shown(path), remedy=remedy) from fault


def _check_windows(found: _SiteFile, path: Path) -> None:
    for entry in found.basis:
        if entry.valid_to < entry.valid_from:
            remedy = "Put valid-from first."
            message = f"the basis for {entry.study} ends before it begins"
            raise SiteInvalid(message, where=shown(path), remedy=remedy)


def _codes(texts: tuple[str, ...], path: Path) -> tuple[Code, ...]:
    return tuple(code_of(text, path, SiteInvalid) for text in texts)


def _local_codes(groups: tuple[_LocalCodes, ...]) -> list[LocalCode]:
    return [
        LocalCode(local=Code(group.system, local), standard=Code(group.standard_system, standard))
        for group in groups
        for local, standard in group.map.items()
    ]


def _certainty(tables: tuple[_Certainty, ...]) -> tuple[tuple[str, str, str], ...]:
    return tuple(
        (table.extension, flag, meaning)
        for table in tables
        for flag, meaning in table.flags.items()
    )


def _basis(entry: _Basis) -> Basis:
    return Basis(
        study=entry.study,
        approval=entry.approval,
        valid_from=entry.valid_from.toordinal(),
        valid_to=entry.valid_to.toordinal(),
        visible_to=entry.visible_to,
    )
