"""`rephrase-worker finalize`: proves that every planned sample is accounted for, and describes the dataset.

`finalizer` adds up the manifests; `card` and `report` show the `figures`, as README.md and as a web page.
"""

from rephrase_worker.finalizer.finalizer import finalize

__all__ = ["finalize"]
