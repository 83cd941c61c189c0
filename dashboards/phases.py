"""The colours of a job's phases, the same in both dashboards."""

from __future__ import annotations

from dashboards.style import BLUE, GREEN, GREY, ORANGE, PURPLE, RED
from rephrase_operator.api.status import Phase

COLORS = {
    Phase.PENDING: GREY,
    Phase.PLANNING: PURPLE,
    Phase.RUNNING: BLUE,
    Phase.SUSPENDED: ORANGE,
    Phase.FINALIZING: PURPLE,
    Phase.MIXING: PURPLE,
    Phase.PUBLISHING: PURPLE,
    Phase.SUCCEEDED: GREEN,
    Phase.FAILED: RED,
}
