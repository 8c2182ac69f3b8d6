"""Read, vread, history."""

from __future__ import annotations

from collections.abc import Callable

from fhir_adapter.doctor.check import Check, Seen, either, fails, unsure
from fhir_adapter.doctor.exam import NOBODY, Exam
from fhir_adapter.doctor.probe import Reply
from fhir_adapter.fhir.reading import parts, text
from fhir_adapter.ports import Resource

_NONE = "no patient is there to read"


def _read(exam: Exam, patient: Resource) -> Reply:
    return exam.once("read", lambda: exam.probe.get(f"Patient/{text(patient['id'])}"))


def _of_patient(look: Callable[[Exam, Resource], Seen]) -> Callable[[Exam], Seen]:
    def looked(exam: Exam) -> Seen:
        patient = exam.specimen("Patient")
        return unsure(_NONE) if patient is None else look(exam, patient)

    return looked


def _readable(exam: Exam, patient: Resource) -> Seen:
    found = _read(exam, patient)
    same = found.is_good and found.body.get("id") == patient["id"]
    return either(same, "read", f"answered {found.status}")


def _json(exam: Exam, patient: Resource) -> Seen:
    said = _read(exam, patient).headers.get("Content-Type", "").partition(";")[0].strip()
    return either(said == "application/fhir+json", "application/fhir+json", "another media type")


def _versioned(exam: Exam, patient: Resource) -> Seen:
    found = _read(exam, patient)
    tag = found.headers.get("ETag", "")
    if not found.version:
        return fails("neither versionId nor ETag")
    return either(tag == f'W/"{found.version}"', "ETag is the versionId", "no weak ETag")


def _vread(exam: Exam, patient: Resource) -> Seen:
    version = _read(exam, patient).version
    if not version:
        return unsure("there is no version to read")
    found = exam.probe.get(f"Patient/{text(patient['id'])}/_history/{version}")
    same = found.is_good and found.body.get("id") == patient["id"]
    return either(same, "read", f"answered {found.status}")


def _history(exam: Exam, patient: Resource) -> Seen:
    found = exam.probe.get(f"Patient/{text(patient['id'])}/_history")
    some = found.is_searchset and bool(parts(found.body.get("entry")))
    return either(some, "listed", f"answered {found.status} without versions")


def _not_modified(exam: Exam, patient: Resource) -> Seen:
    tag = _read(exam, patient).headers.get("ETag", "")
    if not tag:
        return unsure("there is no ETag to ask with")
    found = exam.probe.get(f"Patient/{text(patient['id'])}", headers={"If-None-Match": tag})
    return either(found.status == 304, "304", f"answered {found.status}")  # noqa: PLR2004 - a status of HTTP


def _missing(exam: Exam) -> Seen:
    found = exam.probe.get(f"Patient/{NOBODY}")
    return either(found.is_gone, str(found.status), f"answered {found.status}")


CHECKS: tuple[Check, ...] = (
    Check(
        id="read.read",
        title="a Patient can be read",
        means="no record can be read",
        remedy="Ask for the right to read Patient.",
        look=_of_patient(_readable),
        needed=True,
    ),
    Check(
        id="read.json",
        title="media type application/fhir+json",
        means="none: the body is read whatever it is called",
        look=_of_patient(_json),
    ),
    Check(
        id="read.etag",
        title="a read has a versionId and its ETag",
        means="updates go without If-Match: each is read back, and a race is found late",
        look=_of_patient(_versioned),
    ),
    Check(
        id="read.vread",
        title="a version can be read",
        means="the version behind an evidence reference cannot be shown",
        look=_of_patient(_vread),
    ),
    Check(
        id="read.history",
        title="the history can be read",
        means="who changed what cannot be shown from the server",
        look=_of_patient(_history),
    ),
    Check(
        id="read.not-modified",
        title="If-None-Match on a read gives 304",
        means="none: what did not change is read again",
        look=_of_patient(_not_modified),
    ),
    Check(
        id="read.missing",
        title="a patient that is not there is a 404",
        means="a wrong id looks like a patient without data",
        remedy="Check ids by hand before screening a list of them.",
        look=_missing,
        needed=True,
    ),
)
