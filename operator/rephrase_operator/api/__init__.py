"""What a RephraseJob is: the spec that users write and the status that they read.

`rephrasejob` is the spec with its CEL rules (`cel` has those of the worker's models). `status` and
`conditions` are the status, and `bounds` keeps it within its limits. `crd` generates the
CustomResourceDefinition from both.
"""

from rephrase_operator.api.rephrasejob import (
    API_VERSION,
    GROUP,
    KIND,
    PLURAL,
    VERSION,
    RephraseJobSpec,
    Worker,
    parse_spec,
)

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
