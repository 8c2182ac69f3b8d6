"""Whether a Provenance shows that a person touched something, or that nobody can tell."""

from __future__ import annotations

from fhir_adapter.errors import ServerFault
from fhir_adapter.ports import Resource
from fhir_adapter.writeback.sending import Sender
from fhir_adapter.writeback.standing import about, by_a_person, reference_of

_NO_PROVENANCE = "no Provenance found, so nothing shows that no person touched it"
_REFUSED = "the server refuses the search for Provenance"
UNSURE = frozenset((_NO_PROVENANCE, _REFUSED))
"""Answers that are doubts: the person has the benefit of them."""


def people_at(sender: Sender, found: Resource) -> str:
    """Why a person's hand is seen or cannot be ruled out; empty where it is ruled out.

    Our own write left a Provenance: a search that does not find even that one is no proof.
    """
    if "Provenance" in sender.choice.left_out:
        return _NO_PROVENANCE
    reference = reference_of(found)
    try:
        every = sender.all("Provenance", {"target": reference})
    except ServerFault:
        return _REFUSED
    targeting = about(every, reference)
    if any(by_a_person(one) for one in targeting):
        return "a person's Provenance"
    return "" if targeting else _NO_PROVENANCE
