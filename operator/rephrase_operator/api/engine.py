"""`spec.engine`: the engine's settings, and the profile that fills in those that are not set."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from rephrase_operator.api.cel import CONTRACT_RULES, Spec
from rephrase_worker import spec
from rephrase_worker.profiles import AUTO, PROFILE_PATTERN


class Engine(spec.EngineSettings, Spec):
    """The engine's settings. May change while the job runs; workers that start afterwards use them.

    What is unset comes from the profile. Only these vLLM arguments are offered: none of them runs code or
    carries a secret.
    """

    rules = CONTRACT_RULES[spec.EngineSettings]

    profile: Annotated[str, Field(pattern=PROFILE_PATTERN, max_length=128)] = Field(
        default=AUTO,
        description="Where settings come from that are not set here. auto: the production settings of the "
        "model's profile, or baseline settings for a model without one. baseline: nothing tuned. fastest: "
        "the profile's fastest settings, which can run out of memory on long documents. none: vLLM's own "
        "choice. A name such as qwen3-8b or qwen3-8b/fastest: the profile of that model, whatever the job's "
        "model is. status.engine shows what came of it. On CPUs no profile applies.",
    )

    @property
    def settings(self) -> spec.EngineSettings:
        """The settings alone."""
        fields: dict[str, Any] = self.model_dump(exclude={"profile"})
        return spec.EngineSettings.model_validate(fields)
