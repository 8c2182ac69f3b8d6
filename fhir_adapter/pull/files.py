"""Files of a record folder: which there are, and their resources one by one, tolerantly.

A file name may be a person's name (Synthea writes it so): errors say the place of a file in the
sorted list, and its name only where that is made of resource types and numbers.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from fhir_adapter.errors import RecordFault
from fhir_adapter.fhir.resource_types import RESOURCE_TYPES
from fhir_adapter.fhir.wire import decode, is_blank
from fhir_adapter.ports import Resource

_LINES = (".ndjson", ".jsonl")
_WHOLE = (".json",)
_RESOURCE_TYPES = frozenset(
    [
        "AllergyIntolerance",
        "Appointment",
        "CarePlan",
        "CareTeam",
        "Claim",
        "Communication",
        "Composition",
        "Condition",
        "Consent",
        "Coverage",
        "Device",
        "DeviceRequest",
        "DiagnosticReport",
        "DocumentReference",
        "Encounter",
        "EpisodeOfCare",
        "ExplanationOfBenefit",
        "FamilyMemberHistory",
        "Flag",
        "Goal",
        "Group",
        "ImagingStudy",
        "Immunization",
        "List",
        "Location",
        "Media",
        "Medication",
        "MedicationAdministration",
        "MedicationDispense",
        "MedicationRequest",
        "MedicationStatement",
        "Observation",
        "Organization",
        "Patient",
        "Practitioner",
        "PractitionerRole",
        "Procedure",
        "Provenance",
        "Questionnaire",
        "QuestionnaireResponse",
        "RelatedPerson",
        "ResearchStudy",
        "ResearchSubject",
        "RiskAssessment",
        "ServiceRequest",
        "Specimen",
        "Task",
    ]
)
_GZIP_MAGIC = b"\x1f\x8b"
_BREAKS = (OSError, EOFError, zlib.error)
_SAYABLE = re.compile(r"[\d._-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFile:
    """One file to read."""

    path: Path
    number: int
    """Place among all files of the folder, sorted, from 1."""
    is_lines: bool
    is_read: bool = True
    """False: its name says of no form that is read here, and it may hold records all the same."""

    @property
    def named_types(self) -> frozenset[str]:
        """Resource types that the file name says: ``Observation.000.ndjson.gz``."""
        return frozenset(self._words()) & _RESOURCE_TYPES

    def may_hold_type(self, resource_type: str) -> bool:
        """Of FHIR, or a vendor's own after which the file is named: a misspelled one may be any."""
        return resource_type in RESOURCE_TYPES or resource_type in self._words()

    @property
    def label(self) -> str:
        """A name that cannot be a person's."""
        rest = [word for word in self._words() if word not in _RESOURCE_TYPES]
        sayable = all(_SAYABLE.fullmatch(word) for word in rest)
        return self.path.name if sayable else f"file {self.number}"

    def _words(self) -> list[str]:
        return re.split(r"[._-]", _stem(self.path.name))


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A line, a whole file or the rest of one that is no resource."""

    line: int = 0
    """Where it stands, from 1; 0 where the file is read whole."""
    says: str = ""
    """The resource type with which it begins; empty where it does not say."""


NOT_READ = "file-not-read"
"""Issue, and why types are whole for nobody: a file of another form may hold more of them."""
_BEGINS = re.compile(rb'\s*\{\s*"resourceType"\s*:\s*"([A-Za-z]+)"')


def says_of(raw: bytes | None) -> str:
    """The type with which a line begins that cannot be read to its end; empty for no known one.

    Only what stands first counts: further on it may be a contained resource's.
    """
    found = _BEGINS.match(raw) if raw else None
    said = found[1].decode("ascii") if found else ""
    return said if said in RESOURCE_TYPES else ""


def may_hold(file: RecordFile, seen: Collection[str], said: Collection[str]) -> frozenset[str]:
    """Types that unreadable lines of a file may be of; empty: of any.

    ``said``: what each of them says of itself. A line that does not say is of what the file is
    named after; in a file of no type's name nobody knows.
    """
    unknown = "" in said and not (file.is_lines and file.named_types)
    if unknown or "Bundle" in said:
        return frozenset()
    return frozenset((*file.named_types, *seen, *said)) - {""}


def place_of(file: RecordFile, line: int) -> str:
    """Where in a record folder something could not be read."""
    return f"{file.label} line {line}" if line else file.label


MISLABELLED = "mislabelled-file"
"""Issue, and why a type is whole for nobody: a file that is named after it holds none of it."""


def is_mislabelled(file: RecordFile, seen: Collection[str]) -> bool:
    """Whether a file holds resources, and not one of a type that it is named after."""
    named = set(file.named_types)
    return file.is_lines and bool(named) and bool(seen) and named.isdisjoint(seen)


def record_files(path: Path) -> tuple[RecordFile, ...]:
    """All record files under a folder, or the one file, in sorted order.

    Raises RecordFault where the path does not exist or holds none, or the one file does not open.
    """
    paths = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    found = [p for p in paths if _kind(p.name)]
    if not path.exists():
        raise RecordFault(
            "there is no such folder or file",
            where="record folder",
            remedy="Check the path; a relative one starts in the working folder.",
        )
    if not found:
        raise RecordFault(
            "no FHIR files (.ndjson, .ndjson.gz, .json, .json.gz) there",
            where="record folder",
            remedy="Give a Bulk Data folder, a folder of Bundles, or one such file.",
        )
    number = {p: n for n, p in enumerate(paths, 1)}
    files = tuple(
        RecordFile(path=p, number=number[p], is_lines=_kind(p.name) == "lines") for p in found
    )
    if not path.is_dir():
        _refuse_unopened(files[0])
    left = [p for p in paths if not _kind(p.name) and _may_be_records(p)]
    return files + tuple(
        RecordFile(path=p, number=number[p], is_lines=True, is_read=False) for p in left
    )


_OTHERS = frozenset(
    [
        "cfg",
        "conf",
        "crc",
        "css",
        "csv",
        "gitignore",
        "htm",
        "html",
        "ini",
        "js",
        "log",
        "md",
        "md5",
        "pdf",
        "png",
        "py",
        "rst",
        "sh",
        "sha1",
        "sha256",
        "sha512",
        "sql",
        "toml",
        "tsv",
        "txt",
        "yaml",
        "yml",
    ]
)
"""Endings of what lies beside records and holds none."""
_OTHER_NAMES = frozenset(
    ("_success", "changelog", "checksums", "license", "makefile", "manifest", "notice", "readme")
)


def _may_be_records(path: Path) -> bool:
    """A download that still runs, an archive, XML: anything that is not plainly something else."""
    name = path.name.lower()
    if name.startswith(".") or not path.stat().st_size:
        return False
    stem, dot, ending = name.rpartition(".")
    return ending not in _OTHERS if dot and stem else name not in _OTHER_NAMES


def _refuse_unopened(file: RecordFile) -> None:
    """RecordFault where one file, named by its user, does not open at all."""
    try:
        _opened(file).close()
    except OSError:
        raise RecordFault(
            "the file cannot be opened",
            where=file.label,
            remedy="Check its permissions and that a .gz file is really compressed.",
        ) from None


def is_packed(path: Path) -> bool:
    """Whether it is named as a gzip, in small letters or capitals."""
    return path.name.lower().endswith(".gz")


def _stem(name: str) -> str:
    plain = name[: -len(".gz")] if name.lower().endswith(".gz") else name
    ends = (s for s in (*_LINES, *_WHOLE) if plain.lower().endswith(s))
    return next((plain[: -len(s)] for s in ends), plain)


def _kind(name: str) -> str:
    plain = name.lower().removesuffix(".gz")
    if name.startswith("."):
        return ""
    return "lines" if plain.endswith(_LINES) else "whole" if plain.endswith(_WHOLE) else ""


def resources_in(file: RecordFile) -> Iterator[Resource | Unreadable]:
    """Every resource, and an Unreadable for what is none and for a file that does not open."""
    for number, raw in numbered_in(file):
        found = None if raw is None else decode(raw)
        is_read = found is not None and file.may_hold_type(found["resourceType"])
        yield found if is_read and found is not None else Unreadable(number, says_of(raw))


def raw_in(file: RecordFile) -> Iterator[bytes | Unreadable]:
    """The bytes of every resource, and an Unreadable where a file breaks off or does not open."""
    for number, raw in numbered_in(file):
        yield Unreadable(number) if raw is None else raw


def numbered_in(file: RecordFile) -> Iterator[tuple[int, bytes | None]]:
    """(line, bytes) of everything that is not blank; None where the file breaks off."""
    if not file.is_lines:
        yield 0, _bytes(file)
        return
    for number, line in enumerate(_lines(file), 1):
        if line is None or not is_blank(line):
            yield number, line


def _lines(file: RecordFile) -> Iterator[bytes | None]:
    """Lines; a last None where the file breaks off."""
    try:
        with _opened(file) as stream:
            yield from stream
    except _BREAKS:
        yield None


def _bytes(file: RecordFile) -> bytes | None:
    try:
        with _opened(file) as stream:
            return stream.read()
    except _BREAKS:
        return None


def _opened(file: RecordFile) -> IO[bytes]:
    raw = file.path.open("rb")
    if not is_packed(file.path):
        return raw
    # an empty .gz, as some exports write for "none", is no gzip either: nobody knows what it held
    with raw:
        if raw.read(len(_GZIP_MAGIC)) != _GZIP_MAGIC:
            raise gzip.BadGzipFile
    return cast("IO[bytes]", gzip.open(file.path))
