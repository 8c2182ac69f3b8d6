"""Files into the sandbox: NDJSON (gz), Bundles, single resources; what cannot be read is named."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fhir_adapter.errors import RecordFault
from fhir_adapter.fhir.reading import is_object, parts
from fhir_adapter.fhir.wire import decode, encode
from fhir_adapter.ports import Resource
from fhir_adapter.sandbox.store import Store

_LINES = (".ndjson", ".jsonl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """How many resources were taken, and the places (file number, line) of what was not."""

    resources: int
    issues: tuple[str, ...]


def load(store: Store, path: Path) -> Loaded:
    """Everything under a folder, in sorted order, or one file."""
    if not path.exists():
        raise RecordFault(
            "the folder does not exist", where="sandbox", remedy="Give a folder with FHIR files."
        )
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    count = 0
    issues: list[str] = []
    for number, file in enumerate((p for p in files if _is_read(p)), start=1):
        for line, found in _resources(file):
            if found is None:
                issues.append(f"file {number}, line {line}: not a FHIR resource")
                continue
            inside = list(_unpacked(found))
            if not inside:
                issues.append(f"file {number}, line {line}: a Bundle without resources")
            for resource in inside:
                store.load(resource)
            count += len(inside)
    return Loaded(resources=count, issues=tuple(issues))


def _is_read(path: Path) -> bool:
    name = path.name.removesuffix(".gz")
    return not path.name.startswith(".") and name.endswith((*_LINES, ".json"))


def _resources(path: Path) -> Iterator[tuple[int, Resource | None]]:
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if path.name.endswith(".gz") else data
    except (OSError, EOFError, zlib.error):
        yield 0, None
        return
    if not path.name.removesuffix(".gz").endswith(_LINES):
        yield 1, _typed(data)
        return
    for number, line in enumerate(data.splitlines(), start=1):
        if line.strip():
            yield number, _typed(line)


def _typed(data: bytes) -> Resource | None:
    found = decode(data)
    return found if found is not None and isinstance(found.get("resourceType"), str) else None


def _unpacked(resource: Resource) -> Iterator[Resource]:
    if resource["resourceType"] != "Bundle":
        yield resource
        return
    for entry in parts(resource.get("entry")):
        inner = entry.get("resource")
        if is_object(inner) and isinstance(inner.get("resourceType"), str):
            yield from _unpacked(inner)


def save(store: Store, folder: Path) -> None:
    """One NDJSON file per type; a file is replaced whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in store.types():
        data = b"".join(encode(resource) + b"\n" for resource in store.all_of(name))
        part = folder / f".{name}.part"
        part.write_bytes(data)
        part.replace(folder / f"{name}.ndjson")
    kept = {f"{name}.ndjson" for name in store.types()}
    for path in folder.glob("*.ndjson"):
        if path.name not in kept:
            path.unlink()
