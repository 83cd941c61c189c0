"""The use of kopf: it watches RephraseJobs and passes them to the controller.

Only `on.event` is used. It leaves no finalizer and no annotation, so an object can be deleted while the
operator is down. If an event is missed, the next pass makes up for it. `mirror` watches the children, not
kopf.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import kopf

from rephrase_operator import api
from rephrase_operator.runtime.controller import Controller
from rephrase_operator.settings import Settings


def registry(controller: Controller) -> kopf.OperatorRegistry:
    """The handlers, which tell the controller about RephraseJobs."""
    handlers = kopf.OperatorRegistry()

    @kopf.on.login(registry=handlers)
    def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)

    @kopf.on.event(api.GROUP, api.VERSION, api.PLURAL, registry=handlers)
    async def changed(event: kopf.RawEvent, **_: Any) -> None:
        raw: Any = event["object"]
        if event["type"] == "DELETED":
            meta = raw["metadata"]
            controller.drop(meta["namespace"], meta["name"], meta["uid"])
        else:
            controller.put(raw)

    return handlers


async def watch(controller: Controller, settings: Settings, started: Callable[[], None]) -> None:
    """Run kopf until cancelled. `started` is called once kopf has set up its own signal handlers."""
    kopf_settings = kopf.OperatorSettings()
    kopf_settings.scanning.disabled = True  # Needs rights to list namespaces and CRDs.
    kopf_settings.posting.enabled = False
    kopf_settings.watching.chunk_size = 500
    kopf_settings.persistence.finalizer = f"{api.GROUP}/unused"
    kopf_settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=api.GROUP)
    kopf_settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=api.GROUP)
    logging.getLogger("kopf").setLevel(logging.WARNING)
    before = asyncio.all_tasks()
    tasks = await kopf.spawn_tasks(
        registry=registry(controller),
        settings=kopf_settings,
        standalone=True,
        clusterwide=not settings.namespaces,
        namespaces=settings.namespaces,
    )
    started()
    await kopf.run_tasks(tasks, ignored=before)
