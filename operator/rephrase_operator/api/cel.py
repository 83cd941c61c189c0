"""CEL rules, what a schema can't say: of the models that the worker owns, which knows nothing of CEL."""

from __future__ import annotations

from dataclasses import dataclass

from rephrase_worker import spec
from rephrase_worker.spec import Contract


@dataclass(frozen=True)
class Rule:
    """One CEL rule (`x-kubernetes-validations`). The message names the field."""

    rule: str
    message: str
    field_path: str = ""


_CREDENTIALS = "!self.uri.matches('://[^/]*@')"

CONTRACT_RULES: dict[type[Contract], tuple[Rule, ...]] = {
    spec.Source: (
        Rule(_CREDENTIALS, "uri must not carry credentials: use worker.env with a Secret", ".uri"),
        Rule(
            "self.uri.startsWith('/') || self.uri.matches('^[a-z][a-z0-9+.-]*://')",
            "uri must be an absolute path or start with a protocol such as s3:// or hf://",
            ".uri",
        ),
        Rule(
            "!has(self.revision) || self.uri.startsWith('hf://')",
            "revision is for hf:// sources only",
            ".revision",
        ),
    ),
    spec.Output: (
        Rule(_CREDENTIALS, "uri must not carry credentials: use worker.env with a Secret", ".uri"),
        Rule(
            "self.uri.startsWith('/') || self.uri.matches('^[a-z][a-z0-9+.-]*://')",
            "uri must be an absolute path or start with a protocol such as s3://",
            ".uri",
        ),
        Rule(
            "!self.uri.startsWith('hf://')",
            "uri can't be an hf:// repository: every file would be a commit; "
            "write to object storage and upload",
            ".uri",
        ),
    ),
    spec.Model: (
        Rule(
            "!has(self.revision) || !self.name.startsWith('/')",
            "revision is for models of the Hub, name is a local folder",
            ".revision",
        ),
    ),
    spec.Speculation: (
        Rule(
            "!has(self.promptLookupMax) || self.method == 'ngram'",
            "promptLookupMax is for method ngram only",
            ".promptLookupMax",
        ),
    ),
    spec.EngineSettings: (
        Rule(
            "!has(self.gpuMemoryUtilization) || !has(self.kvCacheMemoryBytes)",
            "gpuMemoryUtilization and kvCacheMemoryBytes exclude each other",
            ".kvCacheMemoryBytes",
        ),
        Rule(
            "!has(self.maxNumBatchedTokens) || !has(self.maxNumSeqs) || "
            "self.maxNumSeqs <= self.maxNumBatchedTokens",
            "maxNumSeqs must not be larger than maxNumBatchedTokens: "
            "every sequence takes a token of each step",
            ".maxNumSeqs",
        ),
    ),
}
"""Rules by model."""
