"""A laptop-size Kubernetes for demos and tests: a test double, not a Kubernetes.

It keeps everything in memory, runs pods as local processes, and does not know what runs on it. `running`
starts one in a child process, `python -m localcluster` in the foreground. README.md says how it differs
from the real thing.
"""

from localcluster.testing import Cluster, running

__all__ = ["Cluster", "running"]
