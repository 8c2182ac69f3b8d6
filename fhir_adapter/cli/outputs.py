"""Files that a command leaves at its end: whether they can be written is known before it begins."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from fhir_adapter.errors import SettingInvalid


def refuse_unwritable(path: Path | None, option: str) -> None:
    """SettingInvalid where no file can be written there; before anything is asked, not after."""
    with told(option):
        if path is None:
            return
        if path.is_dir():
            raise IsADirectoryError
        if path.exists() and not path.is_file():  # a pipe, /dev/stdout: as it is
            return
        if path.exists() and not os.access(path, os.W_OK):
            raise PermissionError
        with TemporaryFile(dir=path.parent):
            return


@contextmanager
def told(option: str) -> Generator[None]:
    """What the disk refuses is told as the option's fault, without the path."""
    try:
        yield
    except OSError as error:
        raise SettingInvalid(
            f"the file cannot be written there ({type(error).__name__})",
            where=option,
            remedy="Name one in a folder that exists and may be written to, with room on it.",
        ) from None
