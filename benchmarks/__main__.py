"""`python -m benchmarks [name ...]`: all benchmarks, or the named ones."""

from __future__ import annotations

import sys

from benchmarks import (
    against_cql,
    cohort,
    eight_lanes,
    engines,
    faults,
    hook,
    ingest,
    many_studies,
    normalise,
    per_patient,
    record_lane,
    watching,
    write_faults,
)
from benchmarks.measure import machine

ALL = {
    "record-lane": record_lane.main,
    "hook": hook.main,
    "ingest": ingest.main,
    "normalise": normalise.main,
    "many-studies": many_studies.main,
    "cohort": cohort.main,
    "eight": eight_lanes.main,
    "against-cql": against_cql.main,
    "engines": engines.main,
    "faults": faults.main,
    "requests": per_patient.main,
    "write-faults": write_faults.main,
    "watching": watching.main,
}


def main() -> None:
    """Print one table after another."""
    names = sys.argv[1:] or list(ALL)
    print(machine(), end="\n\n")
    for name in names:
        print(ALL[name](), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
