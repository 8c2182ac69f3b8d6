"""Files of a cohort screening: every patient's outcome and effects, one Parquet file per part."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fhir_adapter.errors import SettingInvalid
from fhir_adapter.population import PartScreened
from fhir_adapter.warehouse.answers import PartAnswers


def writer(folder: Path | None) -> Callable[[PartScreened], None]:
    """What keeps the answers of each part; nothing where no folder is named."""
    if folder is None:
        return lambda _part: None
    if folder.exists() and any(folder.iterdir()):
        raise SettingInvalid(
            "the folder for the answers is not empty",
            where="--out",
            remedy="Name a new folder: answers of two runs are never mixed.",
        )
    folder.mkdir(parents=True, exist_ok=True)

    def keep(part: PartScreened) -> None:
        assert isinstance(part.answers, PartAnswers)
        part.answers.write(folder / f"answers-{part.done:04d}.parquet")

    return keep
