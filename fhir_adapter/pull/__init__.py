"""Records and studies from where they are: a FHIR server, a folder, a Bundle in memory."""

from __future__ import annotations
