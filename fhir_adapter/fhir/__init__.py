"""Grammar: how FHIR writes dates, codings, references and bundles; R4 first."""
