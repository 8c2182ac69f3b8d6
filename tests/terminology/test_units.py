"""Units convert exactly, and a spelling means one thing per quantity only."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_adapter.errors import TerminologyInvalid
from fhir_adapter.model.code import LOINC, Code, key_of
from fhir_adapter.model.mapping import Analyte, CodeSet, UnitRow, UnitTable
from fhir_adapter.model.quantity import SCALE
from fhir_adapter.terminology import load_units

UNITS = Path(__file__).parents[2] / "mappings" / "terminology" / "units.toml"
TABLE = load_units(UNITS)
BY_NAME = {analyte.name: analyte for analyte in TABLE.analytes}
ROWS = [
    pytest.param(analyte, row, id=f"{analyte.name} {row.unit}")
    for analyte in TABLE.analytes
    for row in analyte.rows
]


def _converted(row: UnitRow, text: str) -> Decimal:
    with localcontext() as context:
        context.prec = 60
        exact = Decimal(text) * row.numerator / row.denominator + row.offset
        return exact.quantize(SCALE, rounding=ROUND_HALF_EVEN)


def _canonical(name: str, text: str, unit: str) -> Decimal:
    return _converted(BY_NAME[name].by_spelling[unit], text)


PRINTED = [
    ("total-bilirubin", "5", "mg/dL", "5"),
    ("total-bilirubin", "85", "umol/L", "4.969597755"),
    ("total-bilirubin", "86", "\u00b5mol/L", "5.028063611"),
    ("total-bilirubin", "85.52", "\u03bcmol/L", "5"),
    ("creatinine", "26.52", "umol/L", "0.3"),
    ("creatinine", "0.0884", "mmol/L", "1"),
    ("albumin", "35", "g/L", "3.5"),
    ("albumin", "527", "umol/L", "3.49928"),
    ("platelets", "48", "K/uL", "48"),
    ("platelets", "48", "10*3/uL", "48"),
    ("platelets", "48", "x10E3/uL", "48"),
    ("platelets", "48", "10^9/L", "48"),
    ("platelets", "48", "G/L", "48"),
    ("platelets", "48000", "/mm3", "48"),
    ("platelets", "48000", "/uL", "48"),
    ("platelets", "4.8", "10^4/uL", "48"),
    ("inr", "1.5", "", "1.5"),
    ("inr", "1.5", "{INR}", "1.5"),
    ("prothrombin-activity", "39", "%", "39"),
    ("prothrombin-activity", "0.39", "1", "39"),
    ("alt", "40", "IU/L", "40"),
    ("ast", "40", "[IU]/L", "40"),
    ("crp", "1.2", "mg/dL", "12"),
    ("west-haven-grade", "2", "{grade}", "2"),
    ("child-pugh-score", "10", "{score}", "10"),
]


@pytest.mark.parametrize(("name", "text", "unit", "expected"), PRINTED)
def test_a_printed_value_becomes_the_canonical_one(
    name: str, text: str, unit: str, expected: str
) -> None:
    exact = Fraction(text) * _ratio(BY_NAME[name].by_spelling[unit])
    assert _canonical(name, text, unit) == Decimal(expected)
    assert abs(exact - Fraction(expected)) <= Fraction(SCALE) / 2


def _ratio(row: UnitRow) -> Fraction:
    return Fraction(row.numerator) / Fraction(row.denominator)


@given(
    value=st.decimals(min_value=0, max_value=100_000, places=3), place=st.integers(0, len(ROWS) - 1)
)
def test_every_conversion_is_the_exact_fraction_rounded_once(value: Decimal, place: int) -> None:
    row = ROWS[place].values[1]
    assert isinstance(row, UnitRow)
    exact = Fraction(value) * _ratio(row)
    assert abs(Fraction(_converted(row, str(value))) - exact) <= Fraction(SCALE) / 2


@pytest.mark.parametrize(("analyte", "row"), ROWS)
def test_every_row_has_a_source_and_a_factor_above_zero(analyte: Analyte, row: UnitRow) -> None:
    assert analyte.source
    assert row.numerator > 0
    assert row.denominator > 0


def test_thousands_per_microlitre_is_read_for_platelets_only() -> None:
    assert {a.name for a in TABLE.analytes if "K/uL" in a.by_spelling} == {"platelets"}
    assert {a.name for a in TABLE.analytes if "G/L" in a.by_spelling} == {"platelets"}


@pytest.mark.parametrize("unit", ["s", "sec", "SECONDS", "%"])
def test_seconds_and_percent_are_no_inr(unit: str) -> None:
    assert unit not in BY_NAME["inr"].by_spelling


@pytest.mark.parametrize("unit", ["", "s", "sec", "{INR}"])
def test_an_activity_without_percent_is_not_guessed(unit: str) -> None:
    assert unit not in BY_NAME["prothrombin-activity"].by_spelling


@pytest.mark.parametrize(
    "name", ["total-bilirubin", "creatinine", "albumin", "platelets", "alt", "afp", "crp"]
)
def test_a_value_without_a_unit_is_not_guessed(name: str) -> None:
    assert "" not in BY_NAME[name].by_spelling


@pytest.mark.parametrize("analyte", TABLE.analytes, ids=lambda analyte: analyte.name)
def test_an_analyte_has_the_codes_of_the_value_set_of_its_name(
    analyte: Analyte, code_sets: dict[str, CodeSet]
) -> None:
    assert set(analyte.codes) == set(code_sets[analyte.name].codes)


PRINTED_BY_THE_SAMPLES = [
    ("1975-2", "mg/dL"),
    ("1751-7", "g/dL"),
    ("2160-0", "mg/dL"),
    ("38483-4", "mg/dL"),
    ("1742-6", "U/L"),
    ("1920-8", "IU/L"),
    ("1742-6", "[IU]/L"),
    ("1988-5", "mg/L"),
    ("6301-6", "{INR}"),
    ("5895-7", ""),
    ("33959-8", "ng/mL"),
    ("777-3", "10*3/uL"),
    ("777-3", "K/uL"),
    ("8310-5", "Cel"),
]


@pytest.mark.parametrize(("code", "unit"), PRINTED_BY_THE_SAMPLES)
def test_units_that_the_sample_records_print_are_known(
    units: UnitTable, code: str, unit: str
) -> None:
    assert unit in units.by_key[key_of(Code(LOINC, code))].by_spelling


HEAD = 'format = 1\n[[analyte]]\nname = "x"\ncanonical = "g"\nsource = "s"\nloinc = ["1-8"]\n'
ROW = '[[analyte.unit]]\nunit = "g"\n'
FAULTS = [
    (HEAD + ROW + 'spelings = ["gm"]\n', "Did you mean 'spellings'?"),
    (HEAD + ROW + 'spellings = ["g"]\n', "'g' stands twice"),
    (HEAD + ROW + 'numerator = "0"\n', "a factor is zero"),
    (HEAD + ROW + 'numerator = "1/2"\n', "$.analyte[0].unit[0].numerator".removeprefix("$.")),
    (HEAD + ROW + 'numerator = "2"\n', "canonical unit is not listed as itself"),
    (HEAD + 'scale = ["4", "0"]\n' + ROW, "the scale has no room"),
    (HEAD + 'scale = ["4"]\n' + ROW, "scale"),
    (HEAD, "unit"),
    (HEAD + ROW + HEAD.removeprefix("format = 1\n") + ROW, "also belongs to x"),
    ("format = 2\n", "format"),
    ("format = \n", "not TOML"),
]


@pytest.mark.parametrize(("text", "said"), FAULTS)
def test_a_broken_unit_table_names_its_place_and_a_remedy(
    tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "units.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(TerminologyInvalid) as caught:
        load_units(path)
    assert said in str(caught.value)
    assert "units.toml" in caught.value.where
    assert caught.value.remedy


def test_a_missing_unit_table_says_so(tmp_path: Path) -> None:
    with pytest.raises(TerminologyInvalid, match="does not exist"):
        load_units(tmp_path / "units.toml")


def test_a_table_that_is_no_text_says_so(tmp_path: Path) -> None:
    path = tmp_path / "units.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TerminologyInvalid, match="cannot be read"):
        load_units(path)
