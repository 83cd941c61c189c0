"""Names of everything at the destination. No other module knows them.

All paths are relative to the output folder and use forward slashes. Shard numbers are padded to five
digits, so that names sort as numbers do.
"""

from __future__ import annotations

from rephrase_worker.samples import Key
from rephrase_worker.spec import MIX_FOLDER

BOOKKEEPING = "_rephrase"
"""Folder of everything that is not samples."""

RECIPE = f"{BOOKKEEPING}/recipe.json"
"""The frozen recipe. The job that creates it owns the destination."""

SOURCE_LISTING = f"{BOOKKEEPING}/plan/source.json"
PLAN = f"{BOOKKEEPING}/plan/plan.json"
"""Written after the plans of all shards: if it exists, the plan is complete."""

STATISTICS = f"{BOOKKEEPING}/plan/statistics.json"
"""Tokens of a sample of the documents, for the estimate."""

PROBES = f"{BOOKKEEPING}/probe"
"""Folder of the files with which planning tries out the file system."""

MIX = f"{BOOKKEEPING}/mix"
MIX_ORDER = f"{MIX}/order.json"
"""What the mix is made from. Who creates it owns the mix."""

MIX_SOURCE = f"{MIX}/source.json"
MIX_PLAN = f"{MIX}/plan/plan.json"
"""Written after the plans of all shards of the mix."""

MIX_MANIFESTS = f"{MIX}/manifests"
MIX_ACCOUNT = f"{MIX}/account.json"

SEGMENTS = f"{BOOKKEEPING}/segments"
MANIFESTS = f"{BOOKKEEPING}/manifests"
SHARD_QUALITY = f"{BOOKKEEPING}/quality"
"""Folder of the counts that the finalizer makes the quality of the dataset of."""
QUALITY = f"{BOOKKEEPING}/quality.json"
ACCOUNT = f"{BOOKKEEPING}/account.json"
PACE = f"{BOOKKEEPING}/pace.json"
REPORT = f"{BOOKKEEPING}/report.html"
CARD = "README.md"


def shard_name(shard: int) -> str:
    """`shard-00042`."""
    return f"shard-{shard:05d}"


def shard_plan(shard: int) -> str:
    """The plan of one shard."""
    return f"{BOOKKEEPING}/plan/{shard_name(shard)}.json"


def segments_dir(shard: int) -> str:
    """Folder of a shard's segments: work in progress, removed when the job is finalized."""
    return f"{SEGMENTS}/{shard_name(shard)}"


def segment(shard: int, first: Key, file_index: int, writer: str, sequence: int) -> str:
    """A segment, named by the position of its first sample and by its writer; names sort by position.

    `writer` is unique to one process, so that no two processes choose the same name.
    """
    name = f"{file_index:06d}-{first.source_position:015d}-{writer}-{sequence:06d}.parquet"
    return f"{segments_dir(shard)}/{name}"


def manifest(shard: int) -> str:
    """The account of a finished shard."""
    return f"{MANIFESTS}/{shard_name(shard)}.json"


def shard_quality(shard: int) -> str:
    """What a finished shard's texts are like."""
    return f"{SHARD_QUALITY}/{shard_name(shard)}.json.zst"


def sample_file(prompt: str, shard: int) -> str:
    """The final samples of one prompt and one shard. Nothing else lies in a prompt's folder."""
    return f"{prompt}/{shard_name(shard)}.parquet"


def sample_glob(prompt: str) -> str:
    """Pattern that matches all final samples of a prompt."""
    return f"{prompt}/*.parquet"


def mix_shard_plan(shard: int) -> str:
    """The plan of one shard of the mix."""
    return f"{MIX}/plan/{shard_name(shard)}.json"


def mix_manifest(shard: int) -> str:
    """The account of a finished shard of the mix."""
    return f"{MIX_MANIFESTS}/{shard_name(shard)}.json"


def mix_file(shard: int) -> str:
    """The rows of one shard of the mix. Nothing else lies in its folder."""
    return f"{MIX_FOLDER}/{shard_name(shard)}.parquet"
