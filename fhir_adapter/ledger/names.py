"""Names of patients in rows: the id, or, of somebody who was forgotten, a keyed hash of it.

A refusal and the memory of what was proposed outlive the forgetting, or it would undo them; they
stand under ``#`` and HMAC-SHA256 (site key) of the id, which no FHIR id can be and from which
nobody without the key can tell who it is.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

from sqlalchemy import Connection, literal, select, union_all

from fhir_adapter.errors import SettingInvalid
from fhir_adapter.ledger.tables import DECLINES, SUBJECTS

MARK = "#"
_SALT = b"fhir-adapter ledger: a patient who was forgotten\n"


class Names:
    """Under which names one patient may stand; ``key`` is the site's, empty where none is set."""

    def __init__(self, key: str) -> None:
        self._key = key.encode()

    def handle(self, patient: str) -> str:
        """The name of a forgotten patient; SettingInvalid without a key."""
        if not self._key:
            raise SettingInvalid(
                "no site_key is set",
                where="ledger",
                remedy="Set FHIR_ADAPTER_SITE_KEY: forgotten patients are known by it only.",
            )
        made = hmac.new(self._key, _SALT + patient.encode(), hashlib.sha256).hexdigest()
        return f"{MARK}{made}"

    def of(self, connection: Connection, patients: Iterable[str]) -> dict[str, str]:
        """Every name under which rows may speak of these ids -> the id.

        Without a key nobody can tell whether one of them was forgotten: refused where anybody was.
        """
        ids = sorted(set(patients))
        found = {one: one for one in ids}
        if self._key:
            return found | {self.handle(one): one for one in ids}
        if ids and connection.execute(_ANY_FORGOTTEN).first() is not None:
            self.handle(ids[0])
        return found


def is_forgotten(name: str) -> bool:
    """Whether a name in a row is a keyed hash and no id."""
    return name.startswith(MARK)


_ANY_FORGOTTEN = union_all(
    *(
        select(literal(1)).where(table.c.patient.startswith(MARK)).limit(1).subquery().select()
        for table in (DECLINES, SUBJECTS)
    )
).limit(1)
