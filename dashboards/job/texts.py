"""What the texts are like."""

from __future__ import annotations

from grafana_foundation_sdk.builders.timeseries import Panel

from dashboards.queries import ONE, per_job, series
from dashboards.style import lines, query


def panels() -> list[Panel]:
    """The panels from left to right."""
    return [
        lines(
            "Most frequent opening, by prompt",
            "Share of a prompt's texts that begin with the same sentence. Above 10% (the default of "
            "quality.templateCollapse.maxShare) the model writes from a template: try a higher temperature, "
            "another wording or another model.",
            query(per_job(series("rephrase_job_top_opening_ratio", ONE), "prompt"), "{{prompt}}"),
            unit="percentunit",
            width=12,
        ),
        lines(
            "Texts with the structure asked for, by prompt",
            "Share of a prompt's texts that have, for example, the table or the questions and answers that "
            "the prompt asks for. Low from the start: the model is too small for the prompt. "
            "`unstructured: Drop` leaves such texts out.",
            query(per_job(series("rephrase_job_structure_ratio", ONE), "prompt"), "{{prompt}}"),
            unit="percentunit",
            width=12,
        )
        .max(1)
        .no_value("no prompt asks for a structure"),
    ]
