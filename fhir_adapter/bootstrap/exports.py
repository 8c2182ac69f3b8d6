"""Files of a cohort screening: every patient's outcome and effects, one Parquet file per part.

Several studies have a folder each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from fhir_adapter.errors import SettingInvalid
from fhir_adapter.ports import CohortAnswers
from fhir_adapter.warehouse.answers import PartAnswers

Keep = Callable[[str, int, CohortAnswers], None]
"""Takes a study's id, the number of a part and its answers."""


def writer(folder: Path | None, studies: Sequence[str]) -> Keep:
    """What keeps the answers of each part; nothing where no folder is named."""
    if folder is None:
        return lambda _study, _part, _answers: None
    if folder.exists() and any(folder.iterdir()):
        raise SettingInvalid(
            "the folder for the answers is not empty",
            where="--out",
            remedy="Name a new folder: answers of two runs are never mixed.",
        )
    places = {study: folder / study if len(studies) > 1 else folder for study in studies}
    for place in places.values():
        place.mkdir(parents=True, exist_ok=True)

    def keep(study: str, part: int, answers: CohortAnswers) -> None:
        assert isinstance(answers, PartAnswers)
        answers.write(places[study] / f"answers-{part:04d}.parquet")

    return keep
