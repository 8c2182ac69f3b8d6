"""One site's mappings: the code sets and units that all share, with the site's codes added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, cast
from zoneinfo import ZoneInfo

from fhir_adapter.criteria.hashes import expansion
from fhir_adapter.errors import SiteInvalid, TerminologyInvalid
from fhir_adapter.model.code import ICD_SYSTEMS, Code, key_of
from fhir_adapter.model.hashing import digest
from fhir_adapter.model.mapping import (
    Analyte,
    CodeSet,
    Family,
    LocalCode,
    Mappings,
    SiteRules,
    UnitTable,
)
from fhir_adapter.terminology.reading import Table, read_table
from fhir_adapter.terminology.sites import AliasTable, read_site
from fhir_adapter.terminology.units import load_units
from fhir_adapter.terminology.valuesets import load_code_sets

Aliases = tuple[tuple[str, str], ...]


class _AliasFile(Table, frozen=True, kw_only=True):
    format: Literal[1]
    system_alias: tuple[AliasTable, ...]


def load_mappings(
    mappings_dir: Path, site_name: str, *, code_sets: Sequence[CodeSet] | None = None
) -> Mappings:
    """Everything for one site; the version is a hash of the content, not of its spelling.

    ``site_name`` is a file of mappings/sites without its ending, or a path that ends in .toml.
    ``code_sets`` replace those of mappings/terminology: the expansions that came with a study.
    """
    terminology = mappings_dir / "terminology"
    site, partial = read_site(_site_path(mappings_dir / "sites", site_name))
    aliases = dict(_common_aliases(terminology / "system-aliases.toml")) | dict(site.system_aliases)
    site = replace(site, system_aliases=tuple(aliases.items()))
    standard = load_code_sets(terminology / "value-sets") if code_sets is None else code_sets
    localised = tuple(_for_site(code_set, site, partial) for code_set in standard)
    units = _units_for_site(load_units(terminology / "units.toml"), site)
    members = [expansion(code_set) for code_set in sorted(localised, key=lambda item: item.name)]
    version = digest(_plain(site), members, _plain(units))
    return Mappings(site=site, code_sets=localised, units=units, version=version)


def facts_basis(mappings: Mappings) -> str:
    """Hash of what facts/ reads: the site's rules for records and the unit table, no code sets.

    A new value set, concept map or basis asks no hospital to load its export again.
    """
    site = replace(mappings.site, local_codes=(), system_aliases=(), bases=(), study_settings=())
    return digest(_plain(site), _plain(mappings.units))


def _site_path(folder: Path, name: str) -> Path:
    if name.endswith(".toml"):
        return Path(name)
    known = sorted(path.stem for path in folder.glob("*.toml"))
    if name not in known:
        close = get_close_matches(name, known, n=1)
        remedy = f"Did you mean {close[0]!r}?" if close else f"Known sites: {', '.join(known)}."
        raise SiteInvalid(f"no site file named {name!r}", where=folder.name, remedy=remedy)
    return folder / f"{name}.toml"


def _common_aliases(path: Path) -> Aliases:
    if not path.exists():
        return ()
    found = read_table(path, _AliasFile, (AliasTable,), TerminologyInvalid)
    return tuple((alias.written, alias.standard) for alias in found.system_alias)


def _for_site(code_set: CodeSet, site: SiteRules, partial: frozenset[str]) -> CodeSet:
    aliases = site.system_aliases
    local = _local_members(code_set, site.local_codes)
    return replace(
        code_set,
        codes=_with_aliases(code_set.codes + local, aliases),
        is_mapped_here=any(code.system not in partial for code in local),
        families=_families_with_aliases(code_set.families, aliases),
        partial_systems=_partial(code_set, aliases) | (partial - code_set.systems),
        without_codes=_with_aliases(code_set.without_codes, aliases),
        without_families=_families_with_aliases(code_set.without_families, aliases),
    )


def _partial(code_set: CodeSet, aliases: Aliases) -> frozenset[str]:
    systems = code_set.partial_systems
    return systems | {written for written, standard in aliases if standard in systems}


def _local_members(code_set: CodeSet, lines: tuple[LocalCode, ...]) -> tuple[Code, ...]:
    return tuple(line.local for line in lines if code_set.holds(key_of(line.standard)))


def _with_aliases(codes: tuple[Code, ...], aliases: Aliases) -> tuple[Code, ...]:
    found = dict.fromkeys(codes)
    for written, standard in aliases:
        for code in codes:
            if code.system == standard:
                spellings = _spellings(written, standard, code.code)
                found.update(dict.fromkeys(Code(written, text) for text in spellings))
    return tuple(found)


def _spellings(written: str, standard: str, code: str) -> tuple[str, ...]:
    """A code as sent and, where only the standard system drops dots, without its dot too."""
    if standard in ICD_SYSTEMS and written not in ICD_SYSTEMS:
        return tuple(dict.fromkeys((code, code.replace(".", ""))))
    return (code,)


def _families_with_aliases(families: tuple[Family, ...], aliases: Aliases) -> tuple[Family, ...]:
    found = dict.fromkeys(families)
    for written, standard in aliases:
        for family in families:
            if family.system == standard:
                prefixes = _prefixes(written, standard, family.prefix)
                found.update(dict.fromkeys(Family(system=written, prefix=p) for p in prefixes))
    return tuple(found)


def _prefixes(written: str, standard: str, prefix: str) -> tuple[str, ...]:
    """As ``_spellings``: a dot stands after two (procedures) or three characters."""
    if standard in ICD_SYSTEMS and written not in ICD_SYSTEMS:
        dotted = (f"{prefix[:at]}.{prefix[at:]}" for at in (2, 3) if len(prefix) > at)
        return (prefix, *dotted)
    return (prefix,)


def _units_for_site(units: UnitTable, site: SiteRules) -> UnitTable:
    return UnitTable(analytes=tuple(_analyte_for_site(a, site) for a in units.analytes))


def _analyte_for_site(analyte: Analyte, site: SiteRules) -> Analyte:
    keys = {key_of(code) for code in analyte.codes}
    local = tuple(line.local for line in site.local_codes if key_of(line.standard) in keys)
    codes = tuple(dict.fromkeys(analyte.codes + local))
    return replace(analyte, codes=_with_aliases(codes, site.system_aliases))


def _plain(value: object) -> object:
    """Values as JSON can hold them; caches that live on a dataclass stay out."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, frozenset):
        return sorted(str(entry) for entry in cast("frozenset[object]", value))
    if isinstance(value, tuple):
        return [_plain(entry) for entry in cast("tuple[object, ...]", value)]
    if isinstance(value, Decimal | ZoneInfo):
        return str(value)
    return value
