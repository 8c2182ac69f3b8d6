"""A small study for tests of whole commands: of the first study, a few criteria of each sort.

What a command does with a store, a server or a mistake does not hang on how long the study is; the
statement of all 32 criteria takes DuckDB seconds to plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from fhir_adapter.artifacts import mappings_dir

KEPT = ("I1", "I2c", "I3", "E1c", "E3a", "E14")


def write_small_study(
    folder: Path, *, kept: Sequence[str] = KEPT, called: str = "NCT05985863"
) -> Path:
    """A gate, a laboratory value, questions for people, a diagnosis; no pairs, no pointers.

    Under another name it is another study.
    """
    source = mappings_dir() / "studies" / "NCT05985863"
    study = yaml.safe_load((source / "study.yaml").read_text("utf-8"))
    criteria = yaml.safe_load((source / "criteria.yaml").read_text("utf-8"))
    criteria["criteria"] = [one for one in criteria["criteria"] if one["id"] in kept]
    del study["pairs"], study["pointers"]
    study["id"] = study["identity"]["number"] = called
    folder.mkdir()
    (folder / "protocol.md").write_text((source / "protocol.md").read_text("utf-8"), "utf-8")
    (folder / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False), "utf-8")
    (folder / "criteria.yaml").write_text(yaml.safe_dump(criteria, sort_keys=False), "utf-8")
    return folder
