"""Stage: YAML and FHIR forms of a study <-> the criteria tree; its checks and its hashes. Pure."""
