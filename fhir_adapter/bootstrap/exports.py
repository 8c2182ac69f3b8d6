"""Files of a cohort screening: every patient's outcome and effects, one Parquet file per bucket."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fhir_adapter.errors import SettingInvalid
from fhir_adapter.population import BucketScreened
from fhir_adapter.warehouse.answers import BucketAnswers


def writer(folder: Path | None) -> Callable[[BucketScreened], None]:
    """What keeps the answers of each bucket; nothing where no folder is named."""
    if folder is None:
        return lambda _part: None
    if folder.exists() and any(folder.iterdir()):
        raise SettingInvalid(
            "the folder for the answers is not empty",
            where="--out",
            remedy="Name a new folder: answers of two runs are never mixed.",
        )
    folder.mkdir(parents=True, exist_ok=True)

    def keep(part: BucketScreened) -> None:
        assert isinstance(part.answers, BucketAnswers)
        part.answers.write(folder / f"answers-{part.done:04d}.parquet")

    return keep
