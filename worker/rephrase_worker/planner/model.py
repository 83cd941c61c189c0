"""The model while planning: pinned, proven to render the job's prompts, and put into the shared cache."""

from __future__ import annotations

import os

from rephrase_worker.models import delivery
from rephrase_worker.planner.engine_check import check_engine
from rephrase_worker.rendering.check import check_prompts, read_config
from rephrase_worker.spec import EngineSettings, Recipe


def pin_model(recipe: Recipe, engine: EngineSettings | None) -> str | None:
    """The commit of the job's model, whose prompts were tried; None for a folder and the simulated engine.

    Raises WorkerError: MODEL_NOT_FOUND, INVALID_RECIPE.
    """
    if recipe.model.name == delivery.SIMULATED_MODEL:
        return None
    model = delivery.pin(recipe.model, os.environ)
    if _is_real(engine):
        if engine is not None:
            check_engine(engine, recipe.model.name, read_config(model.folder, recipe.model.name), os.environ)
        check_prompts(recipe, engine, str(model.folder))
    return model.commit


def fill_shared_cache(recipe: Recipe, engine: EngineSettings | None, commit: str | None) -> None:
    """Fetch the model's weights for all workers, where they share a cache.

    For a plan that was there already, too: the job may have another cache than the one that made it.
    """
    simulated = recipe.model.name == delivery.SIMULATED_MODEL or not _is_real(engine)
    if not simulated and delivery.shared_cache(os.environ):
        delivery.fetch(recipe.model, commit, os.environ)


def _is_real(engine: EngineSettings | None) -> bool:
    return engine is None or engine.backend == "vllm"
