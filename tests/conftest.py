"""Settings for all tests."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# No test may depend on how fast the machine is: examples have no deadline.
settings.register_profile(
    "project", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("project")
