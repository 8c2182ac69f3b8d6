"""What a run that was killed left without its Provenance.

A Provenance follows what it is about: killed in between, the resource stands and nothing says who
wrote it, and a later take-back would leave it to people for want of that.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from fhir_adapter.errors import ServerFault
from fhir_adapter.ports import Resource
from fhir_adapter.writeback.sending import Sender
from fhir_adapter.writeback.standing import about, by_a_person, reference_of


def unproven(sender: Sender, standing: Iterable[Resource]) -> dict[str, str]:
    """Ids by type of what no Provenance of ours covers; nothing where that cannot be searched."""
    try:
        return {
            str(one["resourceType"]): str(one["id"])
            for one in standing
            if not _is_covered(sender, one)
        }
    except ServerFault:
        return {}


def _is_covered(sender: Sender, resource: Resource) -> bool:
    """An opinion is updated in place: only a Provenance as late as its judgement covers it."""
    reference = reference_of(resource)
    every = about(sender.all("Provenance", {"target": reference}), reference)
    since = _moment(resource.get("occurrenceDateTime"))
    ours = [one for one in every if not by_a_person(one)]
    return any(since is None or _reaches(one, since) for one in ours)


def _reaches(provenance: Resource, since: datetime) -> bool:
    recorded = _moment(provenance.get("recorded"))
    return recorded is not None and recorded >= since


def _moment(value: object) -> datetime | None:
    """A full time with a zone; None for anything else."""
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return found if found.tzinfo else None
