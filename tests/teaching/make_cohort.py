"""Writes the teaching cohort into the study's folder: `python tests/teaching/make_cohort.py`.

expected.toml beside it is reviewed by eye; `--expected` prints the table as the engine sees it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from fhir_adapter.fhir.wire import encode  # noqa: E402 - after the path above

from teaching.teaching_fifteen import FIFTEEN  # noqa: E402 - after the path above
from teaching.teaching_more import MORE  # noqa: E402 - after the path above

COHORT = ROOT / "mappings" / "studies" / "NCT05985863" / "cohort"


def files() -> dict[str, bytes]:
    """File name -> Bundle, one per row of the cohort."""
    made: dict[str, bytes] = {}
    for make in (*FIFTEEN, *MORE):
        charts = make()
        entries = [entry for chart in charts for entry in chart.bundle()["entry"]]
        bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries}
        name = charts[0].patient.removesuffix("-a")
        made[f"{name}.json"] = msgspec.json.format(encode(bundle), indent=1) + b"\n"
    return made


def main() -> None:
    """Write every file; take away those that no patient makes any more."""
    COHORT.mkdir(exist_ok=True)
    made = files()
    for path in COHORT.glob("*.json"):
        if path.name not in made:
            path.unlink()
    for name, data in made.items():
        (COHORT / name).write_bytes(data)


if __name__ == "__main__":
    main()
