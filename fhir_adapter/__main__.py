"""`python -m fhir_adapter`."""

from __future__ import annotations

from fhir_adapter.cli import main

if __name__ == "__main__":  # pragma: no branch
    main()
