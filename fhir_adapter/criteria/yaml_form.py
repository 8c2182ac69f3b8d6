"""A study as people write it: protocol.md, study.yaml and criteria.yaml -> Study.

Two liberties over the exact form of the structs: ``kind`` of events and each bound of a value
test may be one word in place of a list. Numbers are taken as the text written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import msgspec

from fhir_adapter.criteria.locate import nearest, trouble
from fhir_adapter.criteria.protocol_text import sentences_from
from fhir_adapter.criteria.yaml_nodes import Plain, Source, Token, fault, line_at, read_yaml
from fhir_adapter.errors import StudyInvalid
from fhir_adapter.model.study import STUDY_FORMAT, Study

PROTOCOL, STUDY, CRITERIA = "protocol.md", "study.yaml", "criteria.yaml"
BOUNDS = ("at-least", "more-than", "at-most", "less-than")
"""Fields of a value test that may be written as one quantity."""


def study_from_yaml(files: Mapping[str, str]) -> Study:
    """The study of the three files, each given by name; StudyInvalid names file and line."""
    _refuse_missing(files)
    study = read_yaml(files[STUDY], STUDY)
    criteria = read_yaml(files[CRITERIA], CRITERIA)
    _refuse_misplaced(study, criteria)
    _refuse_other_format(study)
    _refuse_other_format(criteria)
    sentences = sentences_from(files[PROTOCOL], PROTOCOL)
    raw = study.plain | {
        "protocol": cast("Plain", msgspec.to_builtins(sentences)),
        "criteria": criteria.plain["criteria"],
    }
    return _converted(raw, study, criteria)


def _refuse_missing(files: Mapping[str, str]) -> None:
    for name in (PROTOCOL, STUDY, CRITERIA):
        if name not in files:
            raise StudyInvalid(
                f"{name} is missing", where=name, remedy=f"Put {name} beside the other two files."
            )


def _refuse_misplaced(study: Source, criteria: Source) -> None:
    for name in ("protocol", "criteria"):
        if name in study.plain:
            line = line_at(study.root, (name,))
            home = PROTOCOL if name == "protocol" else CRITERIA
            raise fault(STUDY, line, f"`{name}` does not stand here", remedy=f"Write it in {home}.")
    for name in criteria.plain:
        if name not in ("format", "criteria"):
            line = line_at(criteria.root, (name,))
            remedy = nearest(name, ("format", "criteria"))
            raise fault(CRITERIA, line, f"unknown field `{name}`", remedy=remedy)
    if "criteria" not in criteria.plain:
        raise fault(CRITERIA, 1, "`criteria` is missing", remedy="Start with `criteria:`.")


def _refuse_other_format(source: Source) -> None:
    written = source.plain.get("format", str(STUDY_FORMAT))
    if written != str(STUDY_FORMAT):
        raise fault(
            source.file,
            line_at(source.root, ("format",)),
            f"format `{written}` is not one this version reads",
            remedy=f"Write `format: {STUDY_FORMAT}`, or use the version that wrote the file.",
        )


def _converted(raw: dict[str, Plain], study: Source, criteria: Source) -> Study:
    loose = _loosened(raw)
    try:
        return msgspec.convert(loose, Study, strict=False)
    except msgspec.ValidationError as error:
        found = trouble(error, loose)
        source = criteria if found.tokens[:1] == ("criteria",) else study
        raise fault(
            source.file,
            line_at(source.root, found.tokens),
            found.message,
            remedy=found.remedy,
            criterion=_criterion(raw, found.tokens),
        ) from error


def _criterion(raw: dict[str, Plain], tokens: tuple[Token, ...]) -> str:
    """Id (or place in the list) of the criterion in which a path lies; else empty."""
    rows = raw["criteria"]
    if tokens[:1] != ("criteria",) or not tokens[1:] or not isinstance(rows, list):
        return ""
    index = cast("int", tokens[1])
    row = rows[index]
    named = row.get("id") if isinstance(row, dict) else None
    return str(named) if named else f"number {index + 1}"


def _loosened(raw: dict[str, Plain]) -> dict[str, Plain]:
    """The exact form: one-word kinds and bounds put into lists, below the criteria's own level."""
    loose = {name: _listed(value) for name, value in raw.items()}
    rows = raw["criteria"]
    if isinstance(rows, list):
        loose["criteria"] = [_row(row) for row in rows]
    return loose


def _row(row: Plain) -> Plain:
    """A criterion, whose own ``kind`` is inclusion or exclusion and no list."""
    if not isinstance(row, dict):
        return row
    return {name: _listed(value) for name, value in row.items()}


def _listed(value: Plain) -> Plain:
    if isinstance(value, list):
        return [_listed(item) for item in value]
    if not isinstance(value, dict):
        return value
    liberties = ("kind",) if "node" in value else ("kind", *BOUNDS)
    return {
        name: [item] if name in liberties and isinstance(item, str) else _listed(item)
        for name, item in value.items()
    }
