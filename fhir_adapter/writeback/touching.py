"""Whether a Provenance shows that a person touched something, or that nobody can tell."""

from __future__ import annotations

from collections.abc import Sequence

from fhir_adapter.errors import ServerFault
from fhir_adapter.ports import Resource
from fhir_adapter.writeback.sending import Sender
from fhir_adapter.writeback.standing import about, by_a_person, reference_of

NO_PROVENANCE = "no Provenance found, so nothing shows that no person touched it"
_REFUSED = "the server refuses the search for Provenance"
UNSURE = frozenset((NO_PROVENANCE, _REFUSED))
"""Answers that are doubts: the person has the benefit of them."""


def people_at(sender: Sender, found: Resource) -> str:
    """Why a person's hand is seen or cannot be ruled out; empty where it is ruled out.

    Our own write left a Provenance: a search that does not find even that one is no proof.
    """
    if "Provenance" in sender.choice.left_out:
        return NO_PROVENANCE
    reference = reference_of(found)
    try:
        every = sender.all("Provenance", {"target": reference})
    except ServerFault:
        return _REFUSED
    targeting = about(every, reference)
    if any(by_a_person(one) for one in targeting):
        return "a person's Provenance"
    return "" if targeting else NO_PROVENANCE


def people_among(sender: Sender, group: Sequence[Resource]) -> dict[str, str]:
    """``people_at`` of each by reference, of resources that one server should hold once.

    A search that shows a Provenance of one of them is a search that works: another without any was
    left so by a run that was killed, and no person has signed it.
    """
    found = {reference_of(one): people_at(sender, one) for one in group}
    if all(why in UNSURE for why in found.values()):
        return found
    return {name: "" if why == NO_PROVENANCE else why for name, why in found.items()}
