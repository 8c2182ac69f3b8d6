"""Stage: a Decision as people, files and FHIR servers see it. Pure; all that is shown is here."""
