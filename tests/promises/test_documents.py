"""README and docs are held to the code: commands run, links lead somewhere, tables are made."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from fhir_adapter.bootstrap import package_from_folder
from fhir_adapter.criteria.schema import study_schema
from fhir_adapter.model import criterion as tree
from fhir_adapter.present.feasibility_json import feasibility_schema
from fhir_adapter.present.json_form import result_schema

from cli.cli_for_tests import run
from story.cohort_for_tests import COHORT

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
CONSOLE = re.compile(r"```console\n(.*?)```", re.DOTALL)


def sessions() -> list[tuple[str, str, list[str]]]:
    found: list[tuple[str, str, list[str]]] = []
    for page in PAGES:
        for block in CONSOLE.findall(page.read_text("utf-8")):
            for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                command, _, output = part.partition("\n")
                found.append((page.name, command, output.splitlines()))
    return found


DEMO = "fhir-adapter demo --fresh"
OTHERS = [one for one in sessions() if one[1] != DEMO]


@pytest.mark.parametrize(("page", "command", "output"), OTHERS, ids=lambda part: str(part)[:60])
@pytest.mark.slow
def test_a_console_block_is_what_the_command_prints(
    page: str, command: str, output: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines stand in their order; "..." stands for lines left out; spaces may differ."""
    program, *arguments = shlex.split(command)
    assert program == "fhir-adapter", page
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mappings").symlink_to(ROOT / "mappings")
    hold(page, command, output, run(*arguments).out)


def hold(page: str, command: str, output: list[str], out: str) -> None:
    printed = " ".join(out.split())
    at = 0
    for line in output:
        wanted = " ".join(line.split()).removesuffix("...").strip()
        if wanted:
            place = printed.find(wanted, at)
            assert place >= 0, f"{page}: {wanted!r} is not printed by {command}"
            at = place + len(wanted)


@pytest.mark.slow
@pytest.mark.untraced
def test_the_demo_prints_what_the_readme_shows_and_writes_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ((page, command, output),) = [one for one in sessions() if one[1] == DEMO]
    monkeypatch.chdir(tmp_path)
    first = run("demo", "--fresh")
    assert first.status == 0
    hold(page, command, output, first.out)
    second = run("demo", "--quiet", "--log-json")
    assert "Written: nothing; all stands already" in second.flat


@pytest.mark.slow
def test_a_demo_of_few_shows_a_patient_and_what_was_written(
    tmp_path: Path, small_study: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same way with two patients, and six criteria published: what is measured of it."""
    published = package_from_folder(small_study)
    shown = "09-no-pregnancy-test"
    (tmp_path / "cohort").mkdir()
    for name in (shown, "17-seventeen"):
        (tmp_path / "cohort" / f"{name}.json").symlink_to(COHORT / f"{name}.json")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fhir_adapter.bootstrap.sites.study_folder", lambda _: tmp_path)
    monkeypatch.setattr("fhir_adapter.bootstrap.sites.package_from_folder", lambda _: published)
    first = run("demo", "--fresh")
    assert first.status == 0
    assert '"status": "candidate"' in first.out
    again = run("demo", "--json").json
    assert [one["created"] for one in again["written"]] == [[], []]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize(
    ("name", "made"),
    [("study", study_schema), ("result", result_schema), ("cohort-report", feasibility_schema)],
    ids=["study", "result", "cohort-report"],
)
def test_the_shipped_schemas_are_the_ones_of_the_code(name: str, made: object) -> None:
    """Made again by `python -m tests.promises.make_schemas`."""
    shipped = json.loads(
        (ROOT / "fhir_adapter" / "schemas" / f"{name}.schema.json").read_text("utf-8")
    )
    assert shipped == json.loads(json.dumps(made()))  # type: ignore[operator] # of msgspec, without types


def test_every_node_has_its_page() -> None:
    text = (ROOT / "docs" / "criteria.md").read_text("utf-8")
    tags = [part.__struct_config__.tag for part in tree.Node.__args__]  # type: ignore[attr-defined] # of msgspec, without types
    assert [tag for tag in tags if f"### `{tag}`" not in text] == []
    for tag in tags:
        section = text.split(f"### `{tag}`", 1)[1].split("\n### ", 1)[0]
        for word in ("Truth", "Absence", "Evidence", "Closure", "SQL", "CQL", "YAML"):
            assert f"**{word}**" in section, f"{tag} does not say {word}"
