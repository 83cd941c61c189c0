"""`rephrase-worker finalize`: proves that every planned sample is accounted for, and describes the dataset.

`finalizer` adds up the manifests; `describe` writes README.md (`card`) and a web page (`report`). What they
show is computed once: `figures` of the account, `speed` of the pace, `texts` of the quality, `examples`, and
`features` of the columns. `plots` draws.
"""

from rephrase_worker.finalizer.describe import describe
from rephrase_worker.finalizer.finalizer import finalize

__all__ = ["describe", "finalize"]
