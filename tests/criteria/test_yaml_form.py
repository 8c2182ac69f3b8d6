"""Three files in, one study out; a fault names file, line, criterion and remedy."""

from __future__ import annotations

import pytest

from fhir_adapter.criteria.protocol_text import sentences_from
from fhir_adapter.criteria.yaml_form import study_from_yaml
from fhir_adapter.errors import StudyInvalid
from fhir_adapter.model.criterion import Events, Latest, UnlessConfounded

Files = dict[str, str]
C, S, P = "criteria.yaml", "study.yaml", "protocol.md"


def test_the_three_files_give_one_study(sample_files: Files) -> None:
    study = study_from_yaml(sample_files)
    assert [c.id for c in study.criteria] == ["I1", "I2", "E1", "E2", "E3"]
    assert study.protocol[1].text == "Bilirubin of 5 mg/dL or more at screening."
    test = study.criteria[1].test
    assert isinstance(test, UnlessConfounded)
    assert isinstance(test.test, Latest)
    assert test.test.test.at_least == ("5 mg/dL", "85 umol/L")


def test_one_word_may_stand_where_a_list_may(sample_files: Files) -> None:
    criterion = study_from_yaml(sample_files).criteria[2]
    assert isinstance(criterion.test.of, Events)  # type: ignore[union-attr] # it is there
    assert len(criterion.test.of.kind) == 1  # type: ignore[union-attr] # it is there


FAULTS = {
    "unknown field": (
        C, "    gate: {if-open: hold}", "    gat: {if-open: hold}",
        "unknown field `gat`", "criterion I2", "Did you mean `gate`?",
    ),
    "missing gate": (
        C, "    gate: {if-open: hold}\n", "", "`gate` is missing", "criterion I2", "Add `gate:`",
    ),
    "missing policy": (
        C, "    if-absent: assume-absent-if-known-here\n", "",
        "`if-absent` is missing", "criterion E1", "`unknown`",
    ),
    "missing freshness": (
        C, "    fresh: 7 days\n", "", "`fresh` is missing", "criterion I2", "Add `fresh:`",
    ),
    "missing lasts": (
        C, "    lasts: passing\n", "", "`lasts` is missing", "criterion I2", "Add `lasts:`",
    ),
    "missing settled": (
        C, "    settled: record\n    settled-when", "    settled-when",
        "`settled` is missing", "criterion I2", "`record`",
    ),
    "wrong word": (
        C, "settled: bedside", "settled: bedsite",
        "`bedsite` cannot stand at `settled`", "criterion E2", "Did you mean `bedside`?",
    ),
    "wrong word under any key": (
        C, "{outside: outside-document,", "{outside: nowhere,",
        "`nowhere` cannot stand at `settled-when`", "criterion I2", "`record`",
    ),
    "a list for a mapping": (
        C, "window: {to: dialysis}", "window: [to, dialysis]", "expected a mapping", "criterion E2",
        "docs/criteria.md",
    ),
    "a field of a value test": (
        C, 'test: {more-than: "9"}', 'test: {more-than: "9", foo: 1}', "unknown field `foo`",
        "criterion E2", "`coded-in`",
    ),
    "wrong node": (
        C, "node: latest", "node: newest",
        "`newest` cannot stand at `node`", "criterion I2", "`lowest`",
    ),
    "wrong kind": (
        C, "kind: procedure", "kind: procedur",
        "`procedur` cannot stand", "criterion I2", "Did you mean `procedure`?",
    ),
    "bad duration": (
        C, "fresh: 7 days", "fresh: a week", "`fresh` cannot be read", "criterion I2", "7 days",
    ),
    "bad quantity": (
        C, "[5 mg/dL,", "[five mg/dL,", "`at-least` cannot be read", "criterion I2", "5 mg/dL",
    ),
    "bad edge": (
        C, "from: as-of - 7 days", "from: As of", "`from` cannot be read", "criterion I2", "as-of",
    ),
    "wrong shape": (
        C, "gate: {if-open: hold}", "gate: [hold]", "`gate` cannot be read", "criterion I2",
        "docs/criteria.md",
    ),
    "a list of words": (
        C, "settled-when: {outside: outside-document, bilirubin: bedside}", "settled-when: bedside",
        "`settled-when` cannot be read", "criterion I2", "docs/criteria.md",
    ),
    "a number too small": (
        C, "{node: age, min: 18, max: 70}", "{node: age, min: -1, max: 70}",
        "`min` cannot be read", "criterion I1", "docs/criteria.md",
    ),
    "criterion without id": (
        C, "- id: E3\n    kind", "- kind", "`id` is missing", "criterion number 5", "Add `id:`",
    ),
    "other format": (
        C, "format: 1", "format: 2", "format `2`", "criteria.yaml line 1", "format: 1",
    ),
    "other format of the study": (
        S, "format: 1", "format: 9", "format `9`", "study.yaml line 1", "format: 1",
    ),
    "top-level word": (
        C, "format: 1", "formt: 1", "unknown field `formt`", "criteria.yaml line 1", "`format`",
    ),
    "criteria in the study": (
        S, "format: 1", "criteria: []\nformat: 1", "`criteria` does not stand here",
        "study.yaml line 1", "criteria.yaml",
    ),
    "protocol in the study": (
        S, "format: 1", "protocol: []\nformat: 1", "`protocol` does not stand here",
        "study.yaml line 1", "protocol.md",
    ),
    "no criteria": (
        C, "criteria:", "format:", "`format` is written twice", "criteria.yaml line 2", "Keep one",
    ),
    "wrong identity": (
        S, "  lead: A hospital\n", "", "`lead` is missing", "study.yaml line", "Add `lead:`",
    ),
    "wrong anchor": (
        S, "anchor: episode", "anchor: episod", "`episod` cannot stand", "study.yaml line",
        "Did you mean `episode`?",
    ),
    "broken YAML": (
        C, "criteria:", "criteria: [", "not YAML", "criteria.yaml line", "indentation",
    ),
    "no YAML at all": (S, "format: 1", "\x00", "not YAML", "study.yaml line", "indentation"),
    "a key that is a list": (
        S, "format: 1", "[a]: 1\nformat: 1", "a key must be a word", "study.yaml line 1", "key",
    ),
    "an alias in itself": (
        S, "format: 1", "a: &x [*x]\nformat: 1", "alias holds itself", "study.yaml line 1", "out",
    ),
    "a sentence twice": (P, "### S2", "### S1", "S1 is written twice", "protocol.md line", "once"),
    "a sentence without text": (
        P, "> Liver cancer, or a score above 9.", "", "S3 has no text", "protocol.md line", "after",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_names_its_place_and_its_remedy(sample_files: Files, name: str) -> None:
    file, old, new, message, where, remedy = FAULTS[name]
    assert old in sample_files[file]
    broken = {**sample_files, file: sample_files[file].replace(old, new, 1)}
    with pytest.raises(StudyInvalid) as caught:
        study_from_yaml(broken)
    error = caught.value
    assert message in error.message
    assert where in error.where
    assert remedy in error.remedy
    assert file in error.where


def test_the_line_is_the_line(sample_files: Files) -> None:
    text = sample_files[C]
    broken = text.replace("lasts: passing\n", "lasts: sometimes\n", 1)
    line = broken.splitlines().index("    lasts: sometimes") + 1
    with pytest.raises(StudyInvalid) as caught:
        study_from_yaml({**sample_files, C: broken})
    assert caught.value.where == f"criteria.yaml line {line}, criterion I2"


@pytest.mark.parametrize("name", [C, S, P])
def test_a_missing_file_is_named(sample_files: Files, name: str) -> None:
    files = {key: text for key, text in sample_files.items() if key != name}
    with pytest.raises(StudyInvalid, match=f"{name} is missing"):
        study_from_yaml(files)


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "empty or no mapping"), ("- a\n", "empty or no mapping"), ("format: 1\n", "`criteria`")],
)
def test_a_criteria_file_of_another_form_is_refused(
    sample_files: Files, text: str, message: str
) -> None:
    with pytest.raises(StudyInvalid, match=message):
        study_from_yaml({**sample_files, C: text})


@pytest.mark.parametrize("rows", ["criteria: none", "criteria: [word]", "criteria:"])
def test_criteria_that_are_no_list_of_mappings_are_refused(sample_files: Files, rows: str) -> None:
    with pytest.raises(StudyInvalid):
        study_from_yaml({**sample_files, C: rows})


def test_null_is_understood_and_nothing_else_is(sample_files: Files) -> None:
    text = sample_files[S].replace("blinded: true", "blinded: true\n  description: |\n    Two.\n")
    assert study_from_yaml({**sample_files, S: text}).identity.description == "Two."
    with pytest.raises(StudyInvalid):
        study_from_yaml({**sample_files, S: text.replace("lead: A hospital", "lead: ~")})


def test_a_protocol_without_sentences_is_refused() -> None:
    with pytest.raises(StudyInvalid, match="no numbered sentence"):
        sentences_from("# A title\n\nWords.\n")


def test_sentences_stand_in_lists_tables_and_quotes() -> None:
    text = "intro\n- **S1** One\n  more.\n\nnot this\n| S2a | Two. |\n"
    assert [(s.id, s.text) for s in sentences_from(text)] == [("S1", "One more."), ("S2a", "Two.")]
