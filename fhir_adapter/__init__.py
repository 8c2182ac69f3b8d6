"""fhir-adapter: pre-screen a hospital's FHIR records against a trial, with evidence and reasons."""

__version__ = "0.1.0"
