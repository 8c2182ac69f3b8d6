"""Every error this package raises, as one tree.

AdapterError
├── SettingsFault        a setting, path or flag is wrong: the person who runs the command mends it
│   ├── SettingUnknown, SettingInvalid, SiteInvalid, ArtifactsMissing
├── StudyFault           a study, value set or calculator is wrong: its author mends it
│   ├── StudyInvalid, StudyNotFound, StudyUnsigned, TerminologyInvalid
├── ServerFault          a FHIR server did not do what was asked
│   ├── ServerUnreachable, ServerRefused, ServerThrottled, ServerBroken, NotFhir, OtherVersion
│   ├── PatientNotFound, ExportLost
├── StoreFault           a store of fact tables is not there, not ours, in use, or cannot be written
│   ├── StoreMissing, StoreOutdated, StoreBusy, StoreUnwritable
├── WarehouseFault, LanesDisagree, CountsDisagree   an answer about everybody cannot be trusted
├── RecordFault          a record that was handed to us cannot be read at all
├── WriteFault           a write could not be made or did not read back as sent
│   ├── WriteConflict, WriteUnverified, BasisMissing
└── InternalFault        our own mistake; never the caller's

Each class has a stable kebab-case code that is never reused. Messages name places and remedies,
never a patient's name, identifier, date or value.
"""

from __future__ import annotations


class AdapterError(Exception):
    """Base of every error here: what happened, where, and what to do next.

    >>> raise StudyNotFound("no study NCT0", remedy="List studies with `fhir-adapter study show`.")
    Traceback (most recent call last):
    ...
    fhir_adapter.errors.StudyNotFound: no study NCT0. List studies with `fhir-adapter study show`.
    """

    code = "adapter-error"
    exit_status = 5
    http_status = 500

    def __init__(self, message: str, *, where: str = "", remedy: str = "") -> None:
        self.message = message
        self.where = where
        self.remedy = remedy
        super().__init__(message)

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        text = f"{place}{self.message}"
        return f"{text.rstrip('.')}. {self.remedy}" if self.remedy else text


class SettingsFault(AdapterError):
    """A setting, path or flag is wrong."""

    code = "settings-fault"
    exit_status = 2
    http_status = 500


class SettingUnknown(SettingsFault):
    """The settings file or environment names a key that does not exist."""

    code = "setting-unknown"


class SettingInvalid(SettingsFault):
    """A setting has a value that cannot be used."""

    code = "setting-invalid"


class SiteInvalid(SettingsFault):
    """A site file is missing, malformed, or leaves out its time zone."""

    code = "site-invalid"
    exit_status = 4


class ArtifactsMissing(SettingsFault):
    """The mappings or profiles that ship with the package cannot be found."""

    code = "artifacts-missing"

    def __init__(self, what: str) -> None:
        super().__init__(
            f"the folder {what!r} that ships with fhir-adapter was not found",
            remedy="Reinstall the package, or run from a complete checkout.",
        )


class StudyFault(AdapterError):
    """A study, its value sets or its calculators are wrong."""

    code = "study-fault"
    exit_status = 4
    http_status = 422


class StudyInvalid(StudyFault):
    """A study file or its FHIR form cannot be understood."""

    code = "study-invalid"


class StudyNotFound(StudyFault):
    """No study of that name here or on the study server."""

    code = "study-not-found"
    http_status = 404


class StudyUnsigned(StudyFault):
    """Readings of the study are not signed and the act asked for needs them signed."""

    code = "study-unsigned"


class TerminologyInvalid(StudyFault):
    """A value set, concept map or unit table is missing or malformed."""

    code = "terminology-invalid"


class ServerFault(AdapterError):
    """A FHIR server did not do what was asked."""

    code = "server-fault"
    exit_status = 3
    http_status = 502


class ServerUnreachable(ServerFault):
    """No answer: wrong address, closed port, name not found, time-out."""

    code = "server-unreachable"
    http_status = 504


class ServerRefused(ServerFault):
    """401 or 403: credentials are missing, expired, or lack a scope."""

    code = "server-refused"


class ServerThrottled(ServerFault):
    """429, or 503 with Retry-After, and the waiting budget is used up."""

    code = "server-throttled"
    http_status = 503


class ServerBroken(ServerFault):
    """Any other error status, or a page chain that does not end."""

    code = "server-broken"


class NotFhir(ServerFault):
    """The answer is not FHIR R4 JSON (HTML, another version, cut off), or no FHIR is at the URL."""

    code = "not-fhir"


class OtherVersion(NotFhir):
    """The server speaks another version of FHIR than R4 or R4B."""

    code = "other-fhir-version"


class PatientNotFound(ServerFault):
    """The record server does not know this patient."""

    code = "patient-not-found"
    http_status = 404


class ExportLost(ServerFault):
    """A Bulk Data export has expired, or the server gave it up: only a new one helps."""

    code = "export-lost"


class StoreFault(AdapterError):
    """A store of fact tables cannot be used as asked; what was in it stays readable."""

    code = "store-fault"
    exit_status = 2


class StoreMissing(StoreFault):
    """There is no store in the folder, or files of it are gone."""

    code = "store-missing"


class StoreOutdated(StoreFault):
    """The tables were written with other schemas, another site, or another unit table."""

    code = "store-outdated"


class StoreBusy(StoreFault):
    """Another load is writing to the store."""

    code = "store-busy"


class StoreUnwritable(StoreFault):
    """The disk is full or the folder cannot be written; nothing was switched."""

    code = "store-unwritable"


class WarehouseFault(AdapterError):
    """The SQL engine could not run a statement; its words quote values and are not passed on."""

    code = "warehouse-failed"
    exit_status = 5


class LanesDisagree(AdapterError):
    """SQL and the record lane answered one patient differently: no answer of the run is used."""

    code = "lanes-disagree"
    exit_status = 5


class CountsDisagree(AdapterError):
    """Counts over everybody do not add up to everybody: nothing of the report is used."""

    code = "counts-disagree"
    exit_status = 5


class RecordFault(AdapterError):
    """A record that was handed to us cannot be read at all."""

    code = "record-fault"
    exit_status = 3
    http_status = 400


class WriteFault(AdapterError):
    """A write could not be made, or did not read back as it was sent."""

    code = "write-fault"
    exit_status = 3
    http_status = 502


class WriteConflict(WriteFault):
    """Somebody changed the resource since we read it: the person wins."""

    code = "write-conflict"
    http_status = 409


class WriteUnverified(WriteFault):
    """What was read back differs from what was sent."""

    code = "write-unverified"


class BasisMissing(WriteFault):
    """The site file records no basis (approval, dates, who can see) for this study."""

    code = "basis-missing"
    exit_status = 2
    http_status = 403


class InternalFault(AdapterError):
    """Our own mistake: please report it with the run id."""

    code = "internal-fault"
