"""Publishing: puts a finished dataset into a repository of the Hub, file by file, so that it can be resumed.

`repository` is the Hub's side, `batches` decides which files are one commit and when, `publisher` copies the
dataset and proves that all of it arrived.
"""

from rephrase_worker.publisher.publisher import publish
from rephrase_worker.publisher.repository import Repository

__all__ = ["Repository", "publish"]
