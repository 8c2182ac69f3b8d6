"""What the stories need from the outside, as protocols of one or two methods.

Resources travel as plain JSON mappings: real hospital data is not always valid FHIR.
"""

from __future__ import annotations

from fhir_adapter.ports.bulk import (
    COMPANION,
    DOCUMENT,
    WHOLE,
    BucketRead,
    BucketReader,
    BulkSource,
    ExportState,
    FactLoad,
    LoadCounts,
    LoadStep,
    Piece,
)
from fhir_adapter.ports.changes import ChangedPatients, ChangeFeed, Claimed, Cursors, Look
from fhir_adapter.ports.cohort import (
    Asked,
    CohortAnswers,
    CohortTables,
    Instead,
    Moment,
    StatementParts,
    Statements,
    Told,
)
from fhir_adapter.ports.records import (
    Answers,
    Clock,
    DecisionSink,
    Need,
    NotWhole,
    Proposal,
    Pulled,
    PulledType,
    RecordSource,
    Resource,
    StudyPackage,
    StudySource,
    Written,
)

__all__ = [
    "COMPANION",
    "DOCUMENT",
    "WHOLE",
    "Answers",
    "Asked",
    "BucketRead",
    "BucketReader",
    "BulkSource",
    "ChangeFeed",
    "ChangedPatients",
    "Claimed",
    "Clock",
    "CohortAnswers",
    "CohortTables",
    "Cursors",
    "DecisionSink",
    "ExportState",
    "FactLoad",
    "Instead",
    "LoadCounts",
    "LoadStep",
    "Look",
    "Moment",
    "Need",
    "NotWhole",
    "Piece",
    "Proposal",
    "Pulled",
    "PulledType",
    "RecordSource",
    "Resource",
    "StatementParts",
    "Statements",
    "StudyPackage",
    "StudySource",
    "Told",
    "Written",
]
