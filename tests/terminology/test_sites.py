"""Site files are checked strictly, and a site's codes reach the sets and the units."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import pytest

from fhir_adapter.errors import SiteInvalid, TerminologyInvalid
from fhir_adapter.model.code import ATC, ICD10_CM, ICD10_GM, LOINC, RXNORM, Code, key_of
from fhir_adapter.model.vocabulary import LOCAL_FINDINGS
from fhir_adapter.terminology import load_mappings, load_site

GOOD = 'format = 1\ntitle = "A hospital"\nzone = "Europe/Berlin"\n'
NDC = "http://hl7.org/fhir/sid/ndc"
DIMDI = "http://fhir.de/CodeSystem/dimdi/icd-10-gm"
BASIS = '[[basis]]\nstudy = "S"\napproval = "none needed"\nvisible-to = "all"\n'
LOCAL = f'[[local-code]]\nsystem = "urn:lab"\nstandard-system = "{LOINC}"\nsource = "the lab"\n'


def _site(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "sites" / "north.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def hospital(tmp_path: Path, mappings_dir: Path) -> Path:
    """A copy of the mappings, to which a test adds the site ``north``."""
    shutil.copytree(mappings_dir, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "zone"),
    [("demo", "Asia/Shanghai"), ("synthea", "Europe/Berlin"), ("mimic3-demo", "UTC")],
)
def test_every_site_that_ships_can_be_read(mappings_dir: Path, name: str, zone: str) -> None:
    site = load_site(mappings_dir / "sites" / f"{name}.toml")
    assert (site.name, site.zone.key) == (name, zone)
    assert not site.complete_kinds
    assert [basis.study for basis in site.bases] == ["NCT05985863"]


def test_the_teaching_hospital_has_a_basis_for_the_whole_study(mappings_dir: Path) -> None:
    basis = load_site(mappings_dir / "sites" / "demo.toml").bases[0]
    assert date.fromordinal(basis.valid_from) == date(2023, 9, 30)
    assert date.fromordinal(basis.valid_to) == date(2028, 12, 30)
    assert basis.approval == "synthetic teaching data; no approval needed"


@pytest.mark.parametrize(
    ("said", "left_out"),
    [("", ["R", "V"]), ("restricted-labels = []\n", []), ('restricted-labels = ["s|X"]\n', ["X"])],
    ids=["silence leaves out what is restricted", "an empty list reads everything", "its own"],
)
def test_restricted_resources_are_left_out_unless_the_site_says_otherwise(
    tmp_path: Path, said: str, left_out: list[str]
) -> None:
    site = load_site(_site(tmp_path, GOOD + said))
    assert [label.code for label in site.restricted_labels] == left_out


FAULTS = [
    ('format = 1\ntitle = "A"\n', "has no zone"),
    (GOOD.replace("Europe/Berlin", "Middle/Earth"), "not a known time zone"),
    (GOOD.replace("Europe/Berlin", "../etc"), "not a known time zone"),
    (GOOD.replace("zone", "zoen"), "Did you mean 'zone'?"),
    (GOOD + "qqqqqq = 1\n", "Known keys: "),
    (GOOD + BASIS.replace("study", "studdy"), "Did you mean 'study'?"),
    (GOOD + 'complete-kinds = ["labs"]\n', "at complete-kinds"),
    (GOOD + 'test-tags = ["HTEST"]\n', "Write it as system|code."),
    (GOOD + "baseline-from-days = 14\n", "unknown key"),
    (GOOD + 'no-consent-means = "maybe"\n', "no-consent-means"),
    (GOOD + BASIS + "valid-from = 2024-01-02\nvalid-to = 2024-01-01\n", "ends before it begins"),
    (GOOD + '[[certainty]]\nextension = "u"\nflags = { V = "perhaps" }\n', "perhaps"),
    (GOOD.replace("format = 1", "format = 9"), "format"),
]


@pytest.mark.parametrize(("text", "said"), FAULTS)
def test_a_broken_site_file_names_its_place_and_a_remedy(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(SiteInvalid) as caught:
        load_site(_site(tmp_path, text))
    assert said in str(caught.value)
    assert "sites/north.toml" in caught.value.where
    assert str(tmp_path) not in str(caught.value)
    assert caught.value.remedy


def test_an_unknown_site_names_the_nearest_one(mappings_dir: Path) -> None:
    with pytest.raises(SiteInvalid, match="Did you mean 'synthea'"):
        load_mappings(mappings_dir, "sinthea")


@pytest.mark.parametrize("name", ["", "../terminology/units", "qqqqqqqqqq"])
def test_a_site_that_is_no_file_here_is_refused_with_the_known_ones(
    mappings_dir: Path, name: str
) -> None:
    with pytest.raises(SiteInvalid, match="Known sites: demo, mimic3-demo, synthea"):
        load_mappings(mappings_dir, name)


def test_a_local_code_joins_every_set_and_analyte_of_its_standard_code(hospital: Path) -> None:
    _site(hospital, GOOD + LOCAL + 'complete = true\nmap = { BILT = "1975-2" }\n')
    found = load_mappings(hospital, "north")
    key = key_of(Code("urn:lab", "BILT"))
    assert [name for name, held in found.by_name.items() if held.holds(key)] == ["total-bilirubin"]
    assert found.units.by_key[key].name == "total-bilirubin"
    assert "urn:lab" not in found.by_name["total-bilirubin"].partial_systems


def test_a_local_system_that_is_mapped_in_part_never_shows_absence(mappings_dir: Path) -> None:
    steroids = load_mappings(mappings_dir, "mimic3-demo").by_name["systemic-corticosteroid"]
    assert steroids.holds(key_of(Code(NDC, "00054001820")))
    assert {NDC, RXNORM} <= steroids.partial_systems
    assert ATC not in steroids.partial_systems


def test_a_local_code_may_stand_for_a_member_of_a_family(mappings_dir: Path) -> None:
    found = load_mappings(mappings_dir, "mimic3-demo")
    assert found.by_name["vitamin-k"].holds(key_of(Code(NDC, "00006004368")))


def test_the_demo_hospital_maps_its_grades_to_our_own_codes(mappings_dir: Path) -> None:
    found = load_mappings(mappings_dir, "demo")
    assert found.by_name["west-haven-grade"].holds("urn:demo:findings|WH")
    assert found.units.by_key["urn:demo:findings|WH"].codes[0].system == LOCAL_FINDINGS


def test_an_alias_names_the_same_codes_families_and_exclusions(mappings_dir: Path) -> None:
    tumours = load_mappings(mappings_dir, "demo").by_name["other-malignancy"]
    assert tumours.holds(f"{DIMDI}|C189")
    assert not tumours.holds(f"{DIMDI}|C220")
    assert DIMDI in tumours.systems


@pytest.mark.parametrize("code", ["C18.9", "C189"])
def test_an_alias_of_an_icd_system_matches_with_and_without_the_dot(
    hospital: Path, code: str
) -> None:
    alias = f'[[system-alias]]\nwritten = "urn:our-icd"\nstandard = "{ICD10_CM}"\n'
    _site(hospital, GOOD + alias)
    found = load_mappings(hospital, "north").by_name
    assert found["other-malignancy"].holds(key_of(Code("urn:our-icd", code)))
    assert found["ascites"].holds(key_of(Code("urn:our-icd", "R18.8")))
    assert found["ascites"].holds(key_of(Code("urn:our-icd", "R188")))


def test_an_alias_reaches_the_units_and_what_is_partial(mappings_dir: Path) -> None:
    found = load_mappings(mappings_dir, "demo")
    assert found.units.by_key["urn:oid:2.16.840.1.113883.6.1|1975-2"].name == "total-bilirubin"
    assert "urn:oid:2.16.840.1.113883.6.88" in found.by_name["immunosuppressant"].partial_systems
    assert (DIMDI, ICD10_GM) in found.site.system_aliases


def test_a_hospital_without_common_aliases_can_be_read(hospital: Path) -> None:
    (hospital / "terminology" / "system-aliases.toml").unlink()
    assert load_mappings(hospital, "demo").site.system_aliases == ()


def test_a_broken_alias_file_is_named(hospital: Path) -> None:
    text = 'format = 1\n[[system-alias]]\nwriten = "a"\nstandard = "b"\n'
    (hospital / "terminology" / "system-aliases.toml").write_text(text, encoding="utf-8")
    with pytest.raises(TerminologyInvalid, match="Did you mean 'written'"):
        load_mappings(hospital, "demo")


def test_the_version_follows_content_and_nothing_else(hospital: Path) -> None:
    _site(hospital, GOOD)
    before = load_mappings(hospital, "north").version
    _site(hospital, "# a remark\n" + GOOD)
    assert load_mappings(hospital, "north").version == before
    _site(hospital, GOOD + "follow-seealso = true\n")
    assert load_mappings(hospital, "north").version != before
    assert len(before) == 64
