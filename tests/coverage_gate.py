"""Branch coverage per room, from the last run's data: python -m tests.coverage_gate.

A floor may only rise. The five pure rooms stand at 100 %, the rest at 95 %.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import coverage

FLOORS = {
    "model": 100.0, "facts": 100.0, "criteria": 100.0, "evaluate": 100.0, "decide": 100.0,
}  # fmt: skip
ELSEWHERE = 95.0


def measured() -> dict[str, float]:
    """Percent of statements and branches that ran, by room."""
    data = coverage.Coverage()
    data.load()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "coverage.json"
        with contextlib.redirect_stdout(io.StringIO()):
            data.json_report(outfile=str(file))
        files = json.loads(file.read_text("utf-8"))["files"]
    seen: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for name, found in files.items():
        summary = found["summary"]
        total = summary["num_statements"] + summary["num_branches"]
        missing = summary["missing_lines"] + summary["missing_branches"]
        room = seen[Path(name).parts[1]]
        room[0] += total - missing
        room[1] += total
    return {room: 100 * ran / total if total else 100.0 for room, (ran, total) in seen.items()}


def main() -> int:
    """0 where every room stands at its floor or above."""
    found = measured()
    low = {room: share for room, share in found.items() if share < FLOORS.get(room, ELSEWHERE)}
    for room, share in sorted(found.items()):
        mark = "  BELOW" if room in low else ""
        print(f"{room:16} {share:6.2f} %  floor {FLOORS.get(room, ELSEWHERE):5.1f} %{mark}")
    if not found:
        print("no coverage data: run pytest with --cov first")
        return 1
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main())
