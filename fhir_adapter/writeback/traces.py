"""What an earlier proposal left on the server: seen where the ledger is new and knows of none.

The opinion (GuidanceResponse) is written after what it is about and never deleted by us: where it
stands alone somebody has deleted the ResearchSubject. The Provenance beside it says which one.
"""

from __future__ import annotations

from fhir_adapter.client import Params, why_not_of
from fhir_adapter.errors import ServerFault
from fhir_adapter.ports import Proposal, Resource
from fhir_adapter.writeback.sending import Sender, key_params, token
from fhir_adapter.writeback.standing import (
    about,
    by_a_person,
    identifiers,
    reference_of,
    target_of,
)

_FORMS = ("ResearchSubject/", "Task/", "DocumentReference/")
"""What one opinion may stand beside."""
REFUSED = frozenset(("not-supported", "forbidden"))
"""Why a search is not answered, and never will be."""


def left_behind(sender: Sender, proposal: Proposal, kind: str) -> str | None:
    """Reference of what once stood beside the opinion; empty where nothing says which it was.

    None where there is no trace, where the server keeps no opinions, and where the opinion stood
    beside another form. That it was a stand-in, only a Provenance tells.
    """
    opinions = _opinions(sender, proposal)
    if not opinions:
        return None
    named = [one for opinion in opinions for one in _beside(sender, opinion)]
    ours = [one for one in named if one.startswith(f"{kind}/")]
    if ours:
        return ours[-1]
    alone = kind == "ResearchSubject" and not named and not _stands_in(sender, proposal)
    return "" if alone else None


def _stands_in(sender: Sender, proposal: Proposal) -> bool:
    """Whether a Task or a document of ours stands beside it: no Provenance says so everywhere."""
    wanted = proposal.stand_in
    return wanted is not None and bool(_told(sender, wanted["resourceType"], key_params(wanted)))


def _opinions(sender: Sender, proposal: Proposal) -> list[Resource]:
    """Under the key, and under the keys that other ids of a merged patient would have."""
    if proposal.opinion is None or "GuidanceResponse" in sender.choice.left_out:
        return []
    systems = (system for system, value in identifiers(proposal.opinion) if value == proposal.key)
    system = next(systems, "")
    found: list[Resource] = []
    for key in (proposal.key, *proposal.other_keys):
        every = _told(sender, "GuidanceResponse", token(system, key))
        found += [one for one in every if (system, key) in identifiers(one)]
    return found


def _beside(sender: Sender, opinion: Resource) -> list[str]:
    """What our Provenance, oldest first, names together with this opinion."""
    if "Provenance" in sender.choice.left_out:
        return []
    reference = reference_of(opinion)
    every = about(_told(sender, "Provenance", {"target": reference}), reference)
    targets = [target_of(one) for each in every if not by_a_person(each) for one in each["target"]]
    return [one for one in targets if one.startswith(_FORMS)]


def _told(sender: Sender, kind: str, params: Params) -> list[Resource]:
    """Nothing where the server refuses the search: nobody is lost for want of it."""
    try:
        return sender.all(kind, params)
    except ServerFault as fault:
        if why_not_of(fault) not in REFUSED:
            raise
        return []
