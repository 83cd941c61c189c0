"""What the installer decides about the pods of jobs: the value of `--pod-defaults`.

A job takes these settings when it starts and keeps them in its status, as it keeps its image. So an upgrade
of the chart changes no pod of a job that runs. A job that is to have the new ones is deleted and applied
again: it resumes at its destination.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.alias_generators import to_camel

from rephrase_operator.api import GROUP
from rephrase_operator.api.environment import CREDENTIAL
from rephrase_operator.api.names import LabelKey, LabelValue, ObjectName
from rephrase_operator.api.worker import Toleration

OWN_VARIABLES = frozenset(
    {
        "HF_HOME",
        "NODE_NAME",
        "POD_IP",
        "POD_NAME",
        "POD_UID",
        "REPHRASE_CLAIMS",
        "REPHRASE_GPUS",
        "REPHRASE_MODEL_CACHE",
        "TERMINATION_GRACE_SECONDS",
        "TERMINATION_MESSAGE_PATH",
    }
)
"""Variables of a job's pods that the operator sets, and nobody else."""

SIZE_LIMIT = 16_384
"""Most bytes as JSON. The settings lie in the status of every job."""

_OWN_LABELS = re.compile(
    rf"(.*[.])?{re.escape(GROUP)}/.*|(.*[.])?kubernetes[.]io/.*|(.*[.])?k8s[.]io/.*|job-name|controller-uid"
)

Json = dict[str, Any]
Name = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class PullSecret(BaseModel):
    """A Secret of the job's namespace with which images are pulled."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: ObjectName


class PodDefaults(BaseModel):
    """Settings of the pods of jobs. Lists and maps are as in a pod."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)

    accelerator_resource: str = "nvidia.com/gpu"
    """Extended resource that a worker asks for, one unit a GPU. Empty: workers run on CPUs."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    image_pull_secrets: list[PullSecret] = Field(default=[], max_length=8)
    labels: dict[LabelKey, LabelValue] = {}
    annotations: dict[LabelKey, str] = {}
    env: dict[Name, str] = {}
    """Variables by name. A job's own of the same name wins."""
    priority_class_name: ObjectName | None = None
    """For jobs that name none."""
    node_selector: dict[LabelKey, LabelValue] = {}
    """Of pods that generate with a model. A job's own is added, and wins where both have a label."""
    tolerations: list[Toleration] = []
    """Of pods that generate with a model. A job's own are added."""
    runtime_class_name: ObjectName | None = None
    """Of pods that get GPUs."""
    step_node_selector: dict[LabelKey, LabelValue] = {}
    """Of all other pods, which need no GPU."""
    step_tolerations: list[Toleration] = []
    """Of all other pods. A job's own are added."""
    step_resources: dict[Literal["requests", "limits"], dict[str, int | float | str]] = {
        "requests": {"cpu": "500m", "memory": "2Gi"},
        "limits": {"cpu": "4", "memory": "8Gi"},
    }
    """Of the pods that don't generate, unless a job sets its own."""
    model_cache_claim: ObjectName | None = None
    """Claim of the job's namespace that caches models of the Hub, for jobs that name none."""
    model_cache_namespaces: list[ObjectName] = Field(default=[], max_length=256)
    """Namespaces whose jobs have this claim; none: all."""
    scrape_annotations: bool = False
    """Puts prometheus.io/scrape, port and path on the pods that serve metrics."""
    pod_security_context: Json = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    container_security_context: Json = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }

    @field_validator("labels", "annotations")
    @classmethod
    def _leave_ours(cls, found: dict[str, str]) -> dict[str, str]:
        """Jobs and pods are found by these labels."""
        if taken := sorted(key for key in found if _OWN_LABELS.fullmatch(key)):
            raise ValueError(f"{', '.join(taken)} belongs to the operator or to Kubernetes: leave it out")
        return found

    @field_validator("env")
    @classmethod
    def _set_nothing_secret(cls, found: dict[str, str]) -> dict[str, str]:
        if taken := sorted(OWN_VARIABLES & found.keys()):
            raise ValueError(f"{', '.join(taken)} is set by the operator: leave it out")
        if secret := sorted(name for name in found if re.search(CREDENTIAL, name)):
            # A job chooses the endpoint that a credential is sent to, so its author could read it.
            raise ValueError(
                f"{', '.join(secret)} is a credential, which every author of a job could read: let jobs name "
                "a Secret in spec.worker.env"
            )
        return found

    @model_validator(mode="after")
    def _fit_into_a_status(self) -> Self:
        if (size := len(self.model_dump_json(by_alias=True).encode())) > SIZE_LIMIT:
            raise ValueError(f"the settings take {size} bytes, and at most {SIZE_LIMIT} are possible")
        return self

    def __str__(self) -> str:
        """As JSON, without what has its default."""
        return self.model_dump_json(by_alias=True, exclude_defaults=True)

    def to_status(self) -> Json:
        """The settings as a job's status keeps them, without what is empty by default and unset.

        Defaults that say something are written out: a later operator can have others.
        """
        unset = {
            name
            for name, field in type(self).model_fields.items()
            if not field.default and getattr(self, name) == field.default
        }
        return self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=unset)


def kept(held: Mapping[str, Any]) -> PodDefaults:
    """The settings that a job's status keeps. Those that only a newer operator knows are left out."""
    return PodDefaults.model_validate(held, extra="ignore")
