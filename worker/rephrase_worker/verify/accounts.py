"""Adds up the manifests again and holds account.json to the sums. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from rephrase_worker import layout, manifests
from rephrase_worker.intervals import intervals, parsed
from rephrase_worker.manifests import Account, Manifest, PromptAccount, PromptTotals
from rephrase_worker.plan import Plan
from rephrase_worker.spec import Recipe
from rephrase_worker.verify.faults import Fault, FaultKind

_REMEDY = (
    "Run `rephrase-worker finalize --recipe recipe.json` with the recipe in _rephrase: it writes the account "
    "anew from the manifests. If a manifest is gone, copy it again from where the dataset was made, or start "
    "the job again: it finds the finished files and counts them."
)


@dataclass
class Recount:
    """The sums over the shards that were looked at."""

    prompts: dict[str, PromptAccount]
    documents: int = 0
    """Of finished shards."""
    missing_documents: int = 0
    """That the plan gives to the others."""
    missing_shards: list[int] = field(default_factory=list)
    unfinished: dict[str, list[int]] = field(default_factory=dict)
    """Final files of shards without a manifest, by prompt."""

    @classmethod
    def of(cls, recipe: Recipe) -> Recount:
        """Nothing yet."""
        return cls({prompt.name: PromptAccount() for prompt in recipe.prompts})

    def finished(self, manifest: Manifest) -> None:
        """Adds a shard's manifest."""
        self.documents += manifest.documents
        for name, account in manifest.prompts.items():
            if name in self.prompts:
                self.prompts[name] = manifests.add((self.prompts[name], account))

    def missing(self, shard: int, documents: int) -> None:
        """Adds a shard that has no manifest."""
        self.missing_shards.append(shard)
        self.missing_documents += documents

    def account(self, recipe: Recipe, plan: Plan) -> Account:
        """What account.json should say."""
        missing = self.missing_documents
        if plan.documents_exact:
            missing = max(0, plan.documents - self.documents) if self.missing_shards else 0
        documents, rollouts = self.documents + missing, recipe.sampling.rollouts
        return Account(
            recipe_hash=recipe.hash,
            shards=plan.shards,
            missing_shards=len(self.missing_shards),
            missing_shard_numbers=intervals(self.missing_shards),
            documents=documents,
            documents_exact=plan.documents_exact or not self.missing_shards,
            unfinished_files=sum(map(len, self.unfinished.values())),
            unfinished_file_numbers={
                name: intervals(shards) for name, shards in self.unfinished.items() if shards
            },
            prompts={
                name: PromptTotals(
                    **account.model_dump(), planned=documents * rollouts, missing=missing * rollouts
                )
                for name, account in self.prompts.items()
            },
        )


def account_faults(recounted: Account, plan: Plan, account: Account | None) -> Iterator[Fault]:
    """Where account.json, if there is one, differs from the recount, and the recount from the plan."""
    if plan.documents_exact and not recounted.missing_shards and recounted.documents != plan.documents:
        yield Fault(
            kind=FaultKind.PLAN,
            where=layout.PLAN,
            what=f"it plans {plan.documents} documents, and the manifests have {recounted.documents}",
            remedy="One of them was changed. Copy _rephrase again from where the dataset was made.",
        )
    if account is None:
        return
    other = list(_other_shards(recounted, account))
    yield from other
    if not other:
        for what in _differences(account.model_dump(), recounted.model_dump(), ()):
            yield Fault(kind=FaultKind.ACCOUNT, where=layout.ACCOUNT, what=what, remedy=_REMEDY)


def _other_shards(recounted: Account, account: Account) -> Iterator[Fault]:
    """Shards that only one of them counts as finished: every other figure differs by these."""
    try:
        said = parsed(account.missing_shard_numbers)
    except ValueError:
        what = f"missingShardNumbers is {account.missing_shard_numbers!r}, which are no intervals"
        yield Fault(kind=FaultKind.ACCOUNT, where=layout.ACCOUNT, what=what, remedy=_REMEDY)
        return
    found = parsed(recounted.missing_shard_numbers)
    for shard in sorted(found - said):
        yield Fault(
            kind=FaultKind.MANIFEST,
            where=layout.manifest(shard),
            what="no sound manifest is there, though account.json counts the shard as finished",
            remedy=_REMEDY,
        )
    for shard in sorted(said - found):
        what = f"it counts shard {shard} as missing, and the shard has a manifest"
        yield Fault(kind=FaultKind.ACCOUNT, where=layout.ACCOUNT, what=what, remedy=_REMEDY)


def _differences(said: object, found: object, path: tuple[str, ...]) -> Iterator[str]:
    if isinstance(said, dict) and isinstance(found, dict):
        for name in {**said, **found}:
            yield from _differences(said.get(name), found.get(name), (*path, name))
    elif said != found:
        yield f"{'.'.join(path)} is {said!r}, and the manifests add up to {found!r}"
