"""Stage: results -> one Decision. Pure: outcome, stops, next checks, rank, withheld."""

from fhir_adapter.decide.outcome import decide
from fhir_adapter.decide.standing import StudyStanding, standing_of
from fhir_adapter.decide.stops import stops_of, unproved_stops

__all__ = ["StudyStanding", "decide", "standing_of", "stops_of", "unproved_stops"]
