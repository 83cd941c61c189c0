"""Reads the ConfigMaps of users that the prompts of a job come from."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from rephrase_operator.cluster import kube
from rephrase_operator.cluster.kube import ApiError, Kube
from rephrase_operator.observed.views import ConfigView, JobObject, PromptMap, view_prompt_map
from rephrase_operator.reconcile.draft import started
from rephrase_operator.reconcile.prompts import config_maps_of


async def prompt_maps(connection: Kube, job: JobObject, config: ConfigView | None) -> dict[str, PromptMap]:
    """Those that exist, by name. Nothing is read while the recipe is frozen in the job's own ConfigMap."""
    final = job.status.phase is not None and job.status.phase.final
    if job.spec is None or job.deleting or final or (started(job.status) and config is not None):
        return {}
    wanted = config_maps_of(job.spec.prompts)
    found = await asyncio.gather(
        *(_read(connection, job.namespace, name, keys) for name, keys in wanted.items())
    )
    return {name: view for name, view in zip(wanted, found, strict=True) if view is not None}


async def _read(connection: Kube, namespace: str, name: str, keys: Collection[str]) -> PromptMap | None:
    try:
        raw = await connection.request("GET", kube.config_maps(namespace, name))
    except ApiError as error:
        if error.status != 404:
            raise
        return None
    return view_prompt_map(raw, keys)
