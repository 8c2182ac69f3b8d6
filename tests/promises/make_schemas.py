"""Write the schemas of studies and results from the code: python -m tests.promises.make_schemas."""

from __future__ import annotations

import json
from pathlib import Path

from fhir_adapter.criteria.schema import study_schema
from fhir_adapter.present.feasibility_json import feasibility_schema
from fhir_adapter.present.json_form import result_schema

FOLDER = Path(__file__).parents[2] / "fhir_adapter" / "schemas"

SCHEMAS = (
    ("study", study_schema),
    ("result", result_schema),
    ("cohort-report", feasibility_schema),
)

if __name__ == "__main__":
    for name, made in SCHEMAS:
        text = json.dumps(made(), indent=1, ensure_ascii=False) + "\n"
        (FOLDER / f"{name}.schema.json").write_text(text, "utf-8")
