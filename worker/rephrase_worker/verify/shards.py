"""Whether the final files of a shard hold what its manifest says, and that what was planned. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pyarrow as pa

from rephrase_worker import layout
from rephrase_worker.engine.simulated import MODEL_NAME
from rephrase_worker.filtered import Filtered
from rephrase_worker.manifests import Manifest, PromptAccount
from rephrase_worker.plan import ShardPlan
from rephrase_worker.samples import sample_schema
from rephrase_worker.spec import Prompt, Recipe
from rephrase_worker.verify import positions
from rephrase_worker.verify.faults import Depth, Fault, FaultKind, redo, several
from rephrase_worker.verify.files import FileFigures
from rephrase_worker.verify.positions import Documents


def manifest_faults(recipe: Recipe, shard: ShardPlan, manifest: Manifest) -> Iterator[Fault]:
    """Whether the manifest belongs here and agrees with itself and the plan."""
    where = layout.manifest(shard.shard)
    problems = []
    if manifest.shard != shard.shard:
        problems.append(f"it is the manifest of shard {manifest.shard}")
    if manifest.recipe_hash != recipe.hash:
        problems.append(f"it was made for the recipe {manifest.recipe_hash}, not for {recipe.hash}")
    names = {prompt.name for prompt in recipe.prompts}
    if set(manifest.prompts) != names:
        problems.append(f"its prompts are {', '.join(manifest.prompts)}, not those of the recipe")
    if shard.documents_exact and manifest.documents != shard.documents:
        problems.append(f"it has {manifest.documents} documents, and the plan {shard.documents}")
    wanted = manifest.documents * recipe.sampling.rollouts
    for name, account in manifest.prompts.items():
        if account.text + account.error + account.filtered != wanted:
            problems.append(
                f"prompt {name} has {account.text} texts, {account.error} errors and {account.filtered} "
                f"outputs left out, which are not its {manifest.documents} documents with "
                f"{recipe.sampling.rollouts} rollouts each"
            )
        if sum(account.errors.values()) != account.error:
            problems.append(f"prompt {name} has {account.error} errors, and by code {account.errors}")
    for problem in problems:
        yield Fault(kind=FaultKind.MANIFEST, where=where, what=problem, remedy=redo(shard.shard))


def file_faults(
    recipe: Recipe,
    prompt: Prompt,
    shard: ShardPlan,
    manifest: Manifest,
    figures: FileFigures,
    depth: Depth,
) -> Iterator[Fault]:
    """Whether a final file holds the rows that the manifest counts."""
    where, remedy = layout.sample_file(prompt.name, shard.shard), redo(shard.shard)
    account = manifest.prompts.get(prompt.name)
    schema = sample_schema(shard.columns)
    if not figures.schema.equals(schema):
        what = _schemas_differ(schema, figures)
        yield Fault(kind=FaultKind.SCHEMA, where=where, what=what, remedy=remedy)
    for name, wanted in _constants(recipe, prompt, shard).items():
        values = figures.constants.get(name, set())
        if strange := [repr(value) for value in values if value not in wanted]:
            what = f"{name} is {several(sorted(strange), len(strange))} in some rows, and should be "
            what += " or ".join(repr(value) for value in sorted(wanted, key=str))
            yield Fault(kind=FaultKind.VALUES, where=where, what=what, remedy=remedy)
    if prompt.drops != (figures.filtered is not None):
        says = (
            "does not say which outputs it leaves out" if prompt.drops else "says that it leaves outputs out"
        )
        what = f"it {says}, and its prompt has unstructured: {prompt.unstructured}"
        yield Fault(kind=FaultKind.VALUES, where=where, what=what, remedy=remedy)
    if figures.confused:
        yield Fault(
            kind=FaultKind.VALUES,
            where=where,
            what=f"{figures.confused} rows have both a text and an error, or neither",
            remedy=remedy,
        )
    if account is not None:
        for what in _counts_differ(account, figures, depth):
            yield Fault(kind=FaultKind.COUNTS, where=where, what=what, remedy=remedy)
    expected = manifest.checksums.get(prompt.name)
    if figures.checksum is not None and figures.checksum != expected:
        said = f"it was {expected} when the file was written" if expected else "its manifest has none"
        yield Fault(
            kind=FaultKind.FILE_DAMAGED,
            where=where,
            what=f"its SHA-256 is {figures.checksum}, and {said}",
            remedy=remedy,
        )


def key_faults(
    recipe: Recipe,
    shard: ShardPlan,
    manifest: Manifest,
    files: Mapping[str, FileFigures],
    source: Documents | None,
) -> Iterator[Fault]:
    """Whether each file has every position times every rollout once, as a row or among those it leaves out.

    `source` is what reading the shard's source again has found, if it was read.
    """
    keys = {name: figures.keys for name, figures in files.items() if figures.keys is not None}
    if not keys:
        return
    left_out = {name: (figures.filtered or Filtered()).keys for name, figures in files.items()}
    numbers = positions.file_numbers(shard)
    found = positions.documents(shard, [*keys.values(), *left_out.values()])
    if source is not None:
        yield from _source_faults(shard, found, source)
    elif len(found) != manifest.documents:
        few = len(found) < manifest.documents
        what = f"its rows have {len(found)} different documents, and the manifest {manifest.documents}"
        yield Fault(
            kind=FaultKind.ROWS_MISSING if few else FaultKind.ROWS_FOREIGN,
            where=layout.manifest(shard.shard),
            what=what,
            remedy=redo(shard.shard),
        )
    for name, of_file in keys.items():
        difference = positions.compare(of_file, left_out[name], found, recipe.sampling.rollouts)
        if difference.none:
            continue
        where, remedy = layout.sample_file(name, shard.shard), redo(shard.shard)
        for kind, word, rows in (
            (FaultKind.ROWS_MISSING, "missing", difference.missing),
            (FaultKind.ROWS_REPEATED, "there again", difference.repeated),
            (FaultKind.ROWS_FOREIGN, "not of this shard", difference.foreign),
        ):
            if len(rows):
                names = several(positions.named(rows, numbers), len(rows))
                verb = "row is" if len(rows) == 1 else "rows are"
                yield Fault(
                    kind=kind, where=where, what=f"{len(rows):,} {verb} {word}: {names}", remedy=remedy
                )
        if not difference.ordered:
            yield Fault(
                kind=FaultKind.ROW_ORDER,
                where=where,
                what="its rows are not sorted by source file, position and rollout",
                remedy=remedy,
            )


def _source_faults(shard: ShardPlan, found: Documents, source: Documents) -> Iterator[Fault]:
    numbers = positions.file_numbers(shard)
    for rows, what in (
        (positions.without(source, found), "documents of the source have no row"),
        (positions.without(found, source), "positions with rows are no documents of the source"),
    ):
        if len(rows):
            names = several(positions.named(rows, numbers), len(rows))
            yield Fault(
                kind=FaultKind.SOURCE,
                where=layout.shard_plan(shard.shard),
                what=f"{len(rows):,} {what}: {names}",
                remedy=redo(shard.shard),
            )


def _constants(recipe: Recipe, prompt: Prompt, shard: ShardPlan) -> dict[str, set[str | None]]:
    """The values that rows may have. The simulated engine names itself as the model."""
    return {
        "model": {recipe.model.name, MODEL_NAME},
        "prompt": {prompt.name},
        "prompt_hash": {prompt.hash},
        "revision": {shard.model_revision},
    }


def _schemas_differ(schema: pa.Schema, figures: FileFigures) -> str:
    mine, theirs = set(map(str, schema)), set(map(str, figures.schema))
    lost, added = sorted(mine - theirs), sorted(theirs - mine)
    parts = [f"has no {several(lost, len(lost))}"] if lost else []
    parts += [f"has {several(added, len(added))} instead"] if added else []
    return "its schema " + (" and ".join(parts) or "has the same columns in another order")


def _counts_differ(account: PromptAccount, figures: FileFigures, depth: Depth) -> Iterator[str]:
    found = {"size in bytes": figures.size, "texts": figures.text, "errors": figures.error}
    said = {"size in bytes": account.bytes, "texts": account.text, "errors": account.error}
    if figures.rows != account.text + account.error:
        yield f"it has {figures.rows:,} rows, and the manifest counts {account.text + account.error:,}"
    filtered = figures.filtered or Filtered()
    found |= {"left out": len(filtered.keys), "tokens of those left out": filtered.output_tokens}
    said |= {"left out": account.filtered, "tokens of those left out": account.filtered_output_tokens}
    recount = figures.account
    if recount is not None:
        names = ["prompt_tokens", "cached_prompt_tokens", "output_tokens", "truncated"]
        names += ["empty", "memory_bytes"] if depth is Depth.CONTENT else []
        found |= {name: getattr(recount, name) for name in names}
        said |= {name: getattr(account, name) for name in names}
        for name, mine, theirs in (
            ("errors by code", recount.errors, account.errors),
            ("finish reasons", recount.finish_reasons, account.finish_reasons),
        ):
            if mine != theirs:
                yield f"{name}: its rows have {mine}, and the manifest says {theirs}"
    for name, value in found.items():
        if value != said[name]:
            yield f"{name}: its rows have {value:,}, and the manifest says {said[name]:,}"
