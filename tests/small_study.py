"""A small study for tests of whole commands: of the first study, a few criteria of each sort.

What a command does with a store, a server or a mistake does not hang on how long the study is; the
statement of all 32 criteria takes DuckDB seconds to plan.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from fhir_adapter.artifacts import mappings_dir

KEPT = ("I1", "I2c", "I3", "E1c", "E3a", "E14")


def write_small_study(folder: Path) -> Path:
    """A gate, a laboratory value, questions for people, a diagnosis; no pairs, no pointers."""
    source = mappings_dir() / "studies" / "NCT05985863"
    study = yaml.safe_load((source / "study.yaml").read_text("utf-8"))
    criteria = yaml.safe_load((source / "criteria.yaml").read_text("utf-8"))
    criteria["criteria"] = [one for one in criteria["criteria"] if one["id"] in KEPT]
    del study["pairs"], study["pointers"]
    folder.mkdir()
    (folder / "protocol.md").write_text((source / "protocol.md").read_text("utf-8"), "utf-8")
    (folder / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False), "utf-8")
    (folder / "criteria.yaml").write_text(yaml.safe_dump(criteria, sort_keys=False), "utf-8")
    return folder
