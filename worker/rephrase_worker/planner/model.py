"""The model while planning: pinned, proven to render the job's prompts, and put into the shared cache."""

from __future__ import annotations

import os
from dataclasses import dataclass

from rephrase_worker.models import delivery
from rephrase_worker.models.contents import weights_bytes
from rephrase_worker.planner.engine_check import check_engine
from rephrase_worker.rendering.check import check_prompts, read_config
from rephrase_worker.spec import EngineSettings, Recipe


@dataclass(frozen=True)
class PlannedModel:
    """What planning has found out about a job's model."""

    commit: str | None = None
    """None for a folder and the simulated engine."""
    weights_bytes: int | None = None
    """None where planning can't see it."""
    asked: str | None = None
    """How it is asked and what is taken of its answers, for people."""


def pin_model(recipe: Recipe, engine: EngineSettings | None) -> PlannedModel:
    """The job's model as it is now; its prompts were tried.

    Raises WorkerError: MODEL_NOT_FOUND, INVALID_RECIPE.
    """
    if recipe.model.name == delivery.SIMULATED_MODEL:
        return PlannedModel()
    model = delivery.pin(recipe.model, os.environ)
    asked = None
    if _is_real(engine):
        if engine is not None:
            check_engine(engine, recipe.model.name, read_config(model.folder, recipe.model.name), os.environ)
        asked = check_prompts(recipe, engine, str(model.folder))
    return PlannedModel(model.commit, weights_bytes(model.folder), asked)


def fill_shared_cache(recipe: Recipe, engine: EngineSettings | None, commit: str | None) -> None:
    """Fetch the model's weights for all workers, where they share a cache.

    For a plan that was there already, too: the job may have another cache than the one that made it.
    """
    simulated = recipe.model.name == delivery.SIMULATED_MODEL or not _is_real(engine)
    if not simulated and delivery.shared_cache(os.environ):
        delivery.fetch(recipe.model, commit, os.environ)


def _is_real(engine: EngineSettings | None) -> bool:
    return engine is None or engine.backend == "vllm"
