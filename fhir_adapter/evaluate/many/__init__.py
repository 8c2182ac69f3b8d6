"""Many studies of one site on one patient: every distinct question is asked once, if at all.

Read in this order. ``lines``: equal criteria of all studies are one line, equal nodes one atom.
``silence``: lines over one concept of which a record says nothing share one answer. ``reads``:
which lines a changed fact can touch. ``studies``: the lowest mark of each study, gates first.
"""

from fhir_adapter.evaluate.many.lines import SiteStudy
from fhir_adapter.evaluate.many.studies import ManyStudies, Marked, Rule

__all__ = ["ManyStudies", "Marked", "Rule", "SiteStudy"]
