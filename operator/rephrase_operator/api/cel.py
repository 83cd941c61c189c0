"""CEL rules, for what a schema can't express. These are for the worker's models; the worker does not know
CEL.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rephrase_worker import spec
from rephrase_worker.spec import Contract


@dataclass(frozen=True)
class Rule:
    """One CEL rule (`x-kubernetes-validations`). The message names the field."""

    rule: str
    message: str
    field_path: str = ""


class Spec(Contract):
    """Base of the operator's own models of a spec, with the CEL rules that hold for it."""

    rules: ClassVar[tuple[Rule, ...]] = ()


_BUCKET = "[A-Za-z0-9][-A-Za-z0-9._]*"
_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_CLAIM = rf"pvc://{_LABEL}([.]{_LABEL})*(/.*)?"
_PLACES = rf"(s3|gs|abfs)://{_BUCKET}(/.*)?|{_CLAIM}|/.*"
_HUB_ID = "[A-Za-z0-9][-A-Za-z0-9._]*(/[A-Za-z0-9][-A-Za-z0-9._]*)?"


def _quoted(pattern: str) -> str:
    """A regular expression that has to match the whole string, as a string literal of CEL."""
    return f"'^({pattern})$'"


def _uri_rules(field: str) -> tuple[Rule, ...]:
    """The rules for every URI: it names a place and nothing else."""
    return (
        Rule(
            f"!self.{field}.matches('://[^/]*@')",
            f"{field} must not carry credentials: use worker.env with a Secret",
            f".{field}",
        ),
        Rule(
            # In a local path these are characters like all others.
            f"self.{field}.startsWith('/') || !self.{field}.matches('[?#]|::')",
            f"{field} must not have a query (?), a fragment (#) or a chain (::): "
            "credentials go into worker.env with a Secret",
            f".{field}",
        ),
        Rule(
            f"!self.{field}.matches('(^|/)[.][.](/|$)')",
            f"{field} must not have .. as a part of its path",
            f".{field}",
        ),
    )


CONTRACT_RULES: dict[type[Contract], tuple[Rule, ...]] = {
    spec.Source: (
        *_uri_rules("uri"),
        Rule(
            f"self.uri.matches({_quoted(_PLACES + '|hf://(datasets|buckets)/[^/@].*')})",
            "uri must be one of s3://BUCKET/path, gs://BUCKET/path, abfs://CONTAINER/path, "
            "hf://datasets/OWNER/NAME/path, hf://buckets/OWNER/NAME/path, pvc://CLAIM/path, or an absolute "
            "path where the installer of the operator allows them",
            ".uri",
        ),
        Rule(
            "!has(self.revision) || self.uri.startsWith('hf://datasets/')",
            "revision is for hf://datasets/ sources only",
            ".revision",
        ),
        Rule(
            "!has(self.revision) || !self.uri.matches('^hf://datasets/[^/@]+(/[^/@]+)?@') || "
            "self.uri.replace('%2F', '/').replace('%2f', '/').contains('@' + self.revision)",
            "revision and the revision in uri (after @) differ: give one of them",
            ".revision",
        ),
    ),
    spec.Output: (
        *_uri_rules("uri"),
        Rule(
            "!self.uri.startsWith('hf://')",
            "uri can't be an hf:// repository: every file would be a commit; "
            "write to object storage and upload",
            ".uri",
        ),
        Rule(
            f"self.uri.startsWith('hf://') || self.uri.matches({_quoted(_PLACES)})",
            "uri must be one of s3://BUCKET/path, gs://BUCKET/path, abfs://CONTAINER/path, "
            "pvc://CLAIM/path, or an absolute path where the installer of the operator allows them",
            ".uri",
        ),
    ),
    spec.Model: (
        *_uri_rules("name"),
        Rule(
            f"self.name.matches({_quoted(f'{_HUB_ID}|hf://{_HUB_ID}(@.+)?|{_CLAIM}|/.*')})",
            "name must be one of OWNER/NAME or hf://OWNER/NAME (a model of the Hub), pvc://CLAIM/path, or "
            "the absolute path of a folder in the worker's image",
            ".name",
        ),
        Rule(
            "!has(self.revision) || !(self.name.startsWith('/') || self.name.startsWith('pvc://'))",
            "revision is for models of the Hub, name is a folder",
            ".revision",
        ),
        Rule(
            "!has(self.revision) || !self.name.contains('@') || "
            "self.name.replace('%2F', '/').replace('%2f', '/').endsWith('@' + self.revision)",
            "revision and the revision in name (after @) differ: give one of them",
            ".revision",
        ),
    ),
    spec.Mix: (
        Rule(
            "!has(self.share) || self.share.all(name, self.share[name] > 0.0 && self.share[name] < 1.0)",
            f"every share {spec.NO_MIX}",
            ".share",
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
