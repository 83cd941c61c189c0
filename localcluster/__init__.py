"""A laptop-size Kubernetes for demos and tests: a test double, not a Kubernetes.

It keeps everything in memory, runs pods as local processes, and answers 501 to whatever it does not do.
It knows nothing of what runs on it. `running` starts one in a child process; `python -m localcluster` starts one in
the foreground; the README beside this file says how it differs from the real thing.
"""

from localcluster.testing import Cluster, running

__all__ = ["Cluster", "running"]
