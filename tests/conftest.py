"""Profiles of hypothesis: short in `make test`, at length in `make test-deep`."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)
settings.register_profile("short", max_examples=60, deadline=None, suppress_health_check=_SLOW)
settings.register_profile("deep", max_examples=1500, deadline=None, suppress_health_check=_SLOW)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "short"))
