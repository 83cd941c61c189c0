"""What whoever installs the operator decides, as opposed to whoever creates a RephraseJob.

Each setting is a flag of `rephrase run` and a variable of its environment, both made from its definition.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, DirectoryPath, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    CliApp,
    CliSettingsSource,
    NoDecode,
    SettingsConfigDict,
    SettingsError,
)

from rephrase_operator.pod_defaults import PodDefaults

LEASE_NAME = "rephrase-operator"


def _pod_defaults(value: Any) -> PodDefaults:
    return PodDefaults.model_validate_json(value) if isinstance(value, str) else value


if TYPE_CHECKING:
    Defaults = PodDefaults
else:
    # pydantic-settings would make a flag of every field of a model.
    Defaults = Annotated[Any, BeforeValidator(_pod_defaults), NoDecode]


def pod_namespace() -> str:
    """$POD_NAMESPACE, which the chart sets."""
    return os.environ.get("POD_NAMESPACE", "default")


def pod_name() -> str:
    """$POD_NAME, which the chart sets."""
    return os.environ.get("POD_NAME", "rephrase")


class Settings(BaseSettings):
    """Settings of one operator process."""

    # Not REPHRASE_OPERATOR_: Kubernetes gives every pod variables such as REPHRASE_OPERATOR_METRICS_PORT for
    # the Services of its namespace, whose values are URLs.
    model_config = SettingsConfigDict(
        env_prefix="REPHRASE_RUN_",
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        cli_kebab_case=True,
        cli_implicit_flags=True,
    )

    namespaces: tuple[str, ...] = Field(
        default=(), alias="namespace", description="Serve this namespace; repeatable. None: all of them."
    )
    worker_image: str = Field(
        default="rephrase-worker",
        description="Image of the pods of jobs that start from now on; a job keeps the image that it started "
        "with.",
    )
    allow_local_paths: bool = Field(
        default=False,
        description="Let sources and outputs be absolute paths: only where every pod has the same folders.",
    )
    pod_defaults: Defaults = Field(
        default=PodDefaults(),
        description="JSON: the chart's settings of the pods of jobs that start from now on, such as "
        '{"tolerations": [...]}; a job keeps those that it started with.',
    )
    prompts: DirectoryPath | None = Field(
        default=None,
        description="Folder of prompts that every job can name beside those of the library, each in NAME.md.",
    )
    metrics_port: int = Field(
        default=9090, ge=1, le=65535, description="Port of /metrics and /healthz, on every address."
    )
    lease_namespace: str = Field(
        default_factory=pod_namespace,
        description="Namespace of the leader's Lease: the operator's own, $POD_NAMESPACE.",
    )
    identity: str = Field(
        default_factory=pod_name,
        description="Name of this process in events and in the Lease: $POD_NAME.",
    )
    lease_seconds: int = Field(
        default=15,
        ge=2,
        description="How long a silent leader is waited for. Shorter than a slow answer of the API server, "
        "the Lease would be lost for nothing.",
    )
    progress_seconds: float = Field(
        default=5.0,
        gt=0,
        description="How often running workers are asked for their progress and the status follows.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="Least severe level that is logged."
    )


class Flags:
    """The flags of `rephrase run` on a parser."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._parser = parser
        self._source: CliSettingsSource[argparse.ArgumentParser] = CliSettingsSource(
            Settings, root_parser=parser
        )

    def settings(self, parsed: argparse.Namespace) -> Settings:
        """The settings that the parsed flags and the environment say; ends with a message if one is wrong."""
        try:
            return CliApp.run(Settings, cli_args=parsed, cli_settings_source=self._source)
        except ValidationError as error:
            found = error.errors()[0]
            name, *inside = (str(part) for part in found["loc"])
            where = ": ".join(filter(None, [f"--{name.replace('_', '-')}", ".".join(inside)]))
            self._parser.error(f"{where}: {found['msg']}, not {found['input']!r}")
        except SettingsError as error:
            self._parser.error(str(error))


def parse(flags: Sequence[str]) -> Settings:
    """The settings for a list of flags and the environment. Exits with a usage message when one is wrong."""
    parser = argparse.ArgumentParser(prog="rephrase run")
    known = Flags(parser)
    return known.settings(parser.parse_args(flags))
