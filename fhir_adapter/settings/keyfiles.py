"""A private key that others can read is no secret."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from fhir_adapter.errors import SettingInvalid

_FOR_OTHERS = stat.S_IRWXO | stat.S_IWGRP
"""The group may read: that is how secrets are mounted into containers."""


def refuse_open_key(path: Path, name: str) -> None:
    """SettingInvalid where others may read the file or its group may write it (POSIX only)."""
    if os.name != "posix":
        return
    try:
        mode = path.stat().st_mode
    except OSError:
        return  # whoever reads it says so
    if mode & _FOR_OTHERS:
        raise SettingInvalid(
            f"the key file named for {name} is open to others (mode {stat.S_IMODE(mode):04o})",
            where=path.name,
            remedy=f"chmod 600 {path.name}; as a mounted secret: default mode 0400 or 0440.",
        )
