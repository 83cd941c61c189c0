"""The destination. Files in it appear whole or not at all, and are never overwritten.

`location` keeps file systems and paths apart, `store` is the folder on any of them, `atomic` how local ones
create files, `errors` what a failure means, `patience` how long a failing operation is tried again,
`parallel` many operations at once, `scratch` a folder on the own disk.
"""

from rephrase_worker.store.patience import Patience
from rephrase_worker.store.store import Store, StoredFile

__all__ = ["Patience", "Store", "StoredFile"]
