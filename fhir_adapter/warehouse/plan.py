"""Which buckets a load has to make records of, and from what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fhir_adapter.ports import ExportState
from fhir_adapter.warehouse.changes import (
    Hashes,
    Known,
    Moves,
    is_everybodys,
    moved,
    regrouped,
)
from fhir_adapter.warehouse.work import PIECES, Job

NEW = "new"
"""File of an increment's pieces; a first load's are at once those that the store keeps."""


@dataclass(slots=True, kw_only=True)
class Plan:
    """Jobs of a load: all there are, and those that it must do."""

    jobs: dict[int, Job]
    must: frozenset[int]

    def musts(self) -> list[Job]:
        """What has to be done."""
        return [job for bucket, job in self.jobs.items() if bucket in self.must]

    def rest(self) -> list[Job]:
        """What may stay as it is unless something turns out to be true of everybody."""
        return [job for bucket, job in self.jobs.items() if bucket not in self.must]


def staged(staging: Path, bucket: int) -> Path:
    """Where the files of a bucket wait for the switch."""
    return staging / f"bucket={bucket:04d}"


def first_plan(staging: Path, buckets: int) -> Plan:
    """Every bucket that got anything."""
    jobs = {
        bucket: Job(bucket=bucket, new=folder / PIECES, out=folder)
        for bucket in range(buckets)
        if (folder := staged(staging, bucket)).is_dir()
    }
    return Plan(jobs=jobs, must=frozenset(jobs))


def update_plan(
    staging: Path, known: Known, state: ExportState, roots: Mapping[str, str], changed: Hashes
) -> Plan:
    """Every bucket with anything in it; those must be done that the increment touches.

    ``changed`` are sorted hashes of the keys that came or were deleted.
    """
    rows = known.store.manifest.buckets
    before = known.state.roots()
    moves = Moves(regrouped(before, roots), before, roots, len(rows))
    arriving = moves.carry(known, staging)
    jobs: dict[int, Job] = {}
    must = set(moves.touched)
    for bucket, row in enumerate(rows):
        folder, arrived = staged(staging, bucket), moved(staging, bucket)
        hits = known.hits(bucket, changed) if row.load else frozenset[int]()
        job = Job(
            bucket=bucket,
            new=folder / NEW,
            out=folder,
            old=(*((known.pieces(bucket),) if row.load else ()), arrived),
            superseded=frozenset(changed.tolist()) if arrived.exists() else hits,
            numbers={**(known.numbers(bucket) if row.load else {}), **arriving.get(bucket, {})},
            last_number=row.last_number,
        )
        if row.load or job.new.exists() or arrived.exists():
            jobs[bucket] = job
        if hits or job.new.exists() or arrived.exists():
            must.add(bucket)
    if is_everybodys(known.state, state):
        must = set(jobs)
    return Plan(jobs=jobs, must=frozenset(must & jobs.keys()))
