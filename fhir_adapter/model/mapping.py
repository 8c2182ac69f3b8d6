"""What mappings/ says: code sets (expanded value sets), units per analyte, and one site's rules."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from zoneinfo import ZoneInfo

from fhir_adapter.model.code import Code, key_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """All codes of one ICD family: a system and the undotted beginning of its codes."""

    system: str
    prefix: str

    def holds(self, key: str) -> bool:
        """Whether a comparison key lies in the family."""
        return key.startswith(f"{self.system}|{self.prefix}")


@dataclass(frozen=True, kw_only=True)
class CodeSet:
    """One expanded value set: enumerated codes, code families, and what is taken out again.

    Families are ICD or ATC only, where the tree is the beginning of the code.
    """

    name: str
    url: str
    version: str
    codes: tuple[Code, ...]
    families: tuple[Family, ...] = ()
    partial_systems: frozenset[str] = frozenset()
    """Systems of which the set enumerates only a level that real data seldom carries (RxNorm
    ingredients, where orders name products): a record that has only these counts as not mapped."""
    without_codes: tuple[Code, ...] = ()
    without_families: tuple[Family, ...] = ()
    is_mapped_here: bool = False
    """The site maps a code system of its own, wholly, onto this set: silence is then silence,
    whatever systems a record happens to hold."""

    @cached_property
    def keys(self) -> frozenset[str]:
        """Comparison keys of the enumerated codes."""
        return frozenset(key_of(code) for code in self.codes)

    @cached_property
    def systems(self) -> frozenset[str]:
        """Code systems in which the set has anything."""
        return frozenset(c.system for c in self.codes) | {f.system for f in self.families}

    @cached_property
    def _without_keys(self) -> frozenset[str]:
        return frozenset(key_of(code) for code in self.without_codes)

    def holds(self, key: str) -> bool:
        """Whether a comparison key (``key_of``) is a member."""
        inside = key in self.keys or any(family.holds(key) for family in self.families)
        return inside and not self._is_without(key)

    def _is_without(self, key: str) -> bool:
        return key in self._without_keys or any(f.holds(key) for f in self.without_families)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitRow:
    """How one reported unit becomes the canonical one: value * numerator / denominator + offset."""

    unit: str
    """Reported unit, spelled in UCUM; "1" for none."""
    spellings: tuple[str, ...]
    """Other ways in which laboratories write it; the empty string means "no unit sent"."""
    numerator: Decimal = Decimal(1)
    denominator: Decimal = Decimal(1)
    offset: Decimal = Decimal(0)


@dataclass(frozen=True, kw_only=True)
class Analyte:
    """One measured quantity: its codes, canonical unit and the units it is reported in."""

    name: str
    canonical: str
    codes: tuple[Code, ...]
    rows: tuple[UnitRow, ...]
    source: str
    scale: tuple[Decimal, Decimal] | None = None
    """Lowest and highest of a grade or score, canonical: a number beyond them is no such grade."""

    @cached_property
    def by_spelling(self) -> dict[str, UnitRow]:
        """Every spelling, the UCUM one included, to its row."""
        return {text: row for row in self.rows for text in (row.unit, *row.spellings)}


@dataclass(frozen=True, kw_only=True)
class UnitTable:
    """Units per analyte; a pair that is not there is *unit-not-convertible*, never guessed."""

    analytes: tuple[Analyte, ...]

    @cached_property
    def by_key(self) -> dict[str, Analyte]:
        """Comparison key of a code to its analyte."""
        return {key_of(code): analyte for analyte in self.analytes for code in analyte.codes}


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalCode:
    """One line of a site's concept map: a local code that means a standard one."""

    local: Code
    standard: Code


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """The recorded basis on which a site pre-screens for one study (approval and its dates)."""

    study: str
    approval: str
    valid_from: int
    """Local date ordinal, closed."""
    valid_to: int
    """Local date ordinal, closed."""
    visible_to: str
    """Who can see the resources that are written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteRules:
    """One hospital: zone, codes, certainty flags, documents, stops. Read from its TOML file."""

    name: str
    zone: ZoneInfo
    system_aliases: tuple[tuple[str, str], ...] = ()
    """(code system as this site writes it, standard code system)."""
    local_codes: tuple[LocalCode, ...] = ()
    certainty: tuple[tuple[str, str, str], ...] = ()
    """(extension url, flag code, meaning): confirmed | suspected | excluded | history."""
    complete_kinds: tuple[str, ...] = ()
    """Kinds that an export of this site holds whole even where it has no file of that type."""
    outside_without_custodian: bool = True
    """A DocumentReference without custodian is an outside or scanned document."""
    own_custodians: tuple[str, ...] = ()
    outside_types: tuple[Code, ...] = ()
    test_identifier_systems: tuple[str, ...] = ()
    test_tags: tuple[Code, ...] = ()
    restricted_labels: tuple[Code, ...] = ()
    """meta.security labels whose records this site leaves out."""
    follow_seealso: bool = False
    no_consent_means: str = "no-refusal"
    """"no-refusal" or "refusal": what a record without a research Consent says."""
    reference_date_rule: str = ""
    """Free note, printed by reports (for example: dates are shifted)."""
    bases: tuple[Basis, ...] = ()
    study_settings: tuple[tuple[str, str, str], ...] = ()
    """(study, name, value): lengths of time that a study leaves to the site."""


@dataclass(frozen=True, kw_only=True)
class Mappings:
    """Everything that pulling and judging take from mappings/ for one site."""

    site: SiteRules
    code_sets: tuple[CodeSet, ...]
    units: UnitTable
    version: str = ""
    """Hash of all of it; enters the basis hash."""

    @cached_property
    def by_name(self) -> dict[str, CodeSet]:
        """Value set name to its code set."""
        return {code_set.name: code_set for code_set in self.code_sets}
