"""What a RephraseJob is: the spec that users write and the status that they read.

`rephrasejob` is the spec, `prompts`, `worker` and `policies` are its parts, and `cel` has the rules of the
worker's models. `status` and `conditions` are the status, and `bounds` keeps it within its limits. `crd`
generates the CustomResourceDefinition from both.
"""

from rephrase_operator.api.rephrasejob import (
    API_VERSION,
    GROUP,
    KIND,
    PLURAL,
    VERSION,
    RephraseJobSpec,
    parse_spec,
)
from rephrase_operator.api.worker import Worker

__all__ = [
    "API_VERSION",
    "GROUP",
    "KIND",
    "PLURAL",
    "VERSION",
    "RephraseJobSpec",
    "Worker",
    "parse_spec",
]
