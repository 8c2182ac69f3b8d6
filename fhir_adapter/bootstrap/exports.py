"""Files of a cohort screening: every patient's outcome and effects, one Parquet file per part.

Several studies have a folder each. Only a run that ends leaves files: half of a cohort, or a part
that was written before the lanes turned out to differ, is no answer.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fhir_adapter.errors import SettingInvalid
from fhir_adapter.ports import CohortAnswers
from fhir_adapter.warehouse.answers import PartAnswers
from fhir_adapter.warehouse.work import make_folder

Keep = Callable[[str, int, CohortAnswers], None]
"""Takes a study's id, the number of a part and its answers."""


@contextmanager
def writer(folder: Path | None, studies: Sequence[str]) -> Generator[Keep]:
    """What keeps the answers of each part; nothing where no folder is named."""
    if folder is None:
        yield lambda _study, _part, _answers: None
        return
    if folder.exists() and any(folder.iterdir()):
        raise SettingInvalid(
            "the folder for the answers is not empty",
            where="--out",
            remedy="Name a new folder: answers of two runs are never mixed.",
        )
    places = {study: folder / study if len(studies) > 1 else folder for study in studies}

    def keep(study: str, part: int, answers: CohortAnswers) -> None:
        assert isinstance(answers, PartAnswers)
        answers.write(places[study] / f"answers-{part:04d}.parquet")

    was_there = folder.exists()
    try:
        for place in places.values():
            make_folder(place, mode=0o700)  # a row per patient: their owner's alone
        yield keep
    except BaseException:  # whatever ends it, Ctrl-C too
        _empty(folder, stays=was_there)
        raise


def _empty(folder: Path, *, stays: bool) -> None:
    """Take away what this run wrote: the folder held nothing before it."""
    shutil.rmtree(folder, ignore_errors=True)
    if stays:
        folder.mkdir(exist_ok=True)
