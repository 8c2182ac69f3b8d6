"""cql-execution in Node over the eight criteria: the same patients, CQL written by hand.

The packages are installed by ``make servers-cql`` into ``.servers/cql``; ``missing`` says what is
not there. The CQL and the types of CQL itself are in benchmarks/eight/cql, plain text.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import by_hand
from fhir_adapter.fhir.wire import encode
from fhir_adapter.model.code import Code, key_of
from fhir_adapter.model.mapping import CodeSet

HOME = Path(__file__).parent / "eight" / "cql"
PACKAGES = Path(__file__).parents[1] / ".servers" / "cql"
_NEEDED = ("@cqframework/cql", "cql-execution", "cql-exec-fhir", "@lhncbc/ucum-lhc")

Verdicts = dict[str, bool | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What the oracle answered, patient by patient in order, and what it took."""

    verdicts: Sequence[Verdicts]
    translated: float
    """Seconds for translating CQL to ELM, once."""
    spent: Sequence[float]
    """Seconds of wall clock per patient, from parsed resources to answers."""
    cpu: float
    """Seconds of CPU for all patients, translation not included."""
    memory: float
    """Peak resident MiB."""


def missing() -> str:
    """Why the oracle cannot run here; empty where it can."""
    if shutil.which("node") is None:
        return "Node is not installed"
    absent = [name for name in _NEEDED if not (PACKAGES / "node_modules" / name).is_dir()]
    return f"{', '.join(absent)} not installed: make servers-cql" if absent else ""


def ask(
    bundles: Sequence[Mapping[str, Any]],
    sets: Mapping[str, CodeSet],
    as_of: str,
    *,
    home: Path = HOME,
) -> Said:
    """Every patient's verdicts; ``as_of`` is a FHIR dateTime with its offset."""
    with tempfile.TemporaryDirectory() as folder:
        codes = Path(folder) / "value-sets.json"
        codes.write_text(json.dumps(expansions(bundles, sets)), "utf-8")
        answers = Path(folder) / "answers.ndjson"
        command = ["node", home / "oracle.mjs", PACKAGES, codes, as_of, answers]
        text = b"".join(encode(dict(bundle)) + b"\n" for bundle in bundles)
        subprocess.run(command, input=text, stdout=subprocess.DEVNULL, check=True)
        *rows, figures = (json.loads(line) for line in answers.read_text("utf-8").splitlines())
    return Said(
        verdicts=[{name: row[name] for name in by_hand.NAMES} for row in rows],
        translated=figures["translated"] / 1000,
        spent=[one / 1000 for one in figures["spent"]],
        cpu=figures["cpu"] / 1000,
        memory=figures["memory"],
    )


def expansions(
    bundles: Iterable[Mapping[str, Any]], sets: Mapping[str, CodeSet]
) -> dict[str, list[dict[str, str]]]:
    """Of each value set the codes that occur: families such as C00-C97 are not enumerable."""
    occurring = sorted({code for bundle in bundles for code in _codes(bundle)})
    return {
        name: [
            {"system": one.system, "code": one.code, "version": "1"}
            for one in occurring
            if sets[name].holds(key_of(one))
        ]
        for name in by_hand.SETS
    }


def _codes(bundle: Mapping[str, Any]) -> Iterable[Code]:
    for entry in bundle["entry"]:
        for coding in entry["resource"].get("code", {}).get("coding", ()):
            yield Code(coding["system"], coding["code"])
