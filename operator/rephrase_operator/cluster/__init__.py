"""The cluster as seen from here: requests, a mirror of what exists, and the Lease of the leader.

`kube` is the client, `mirror` lists and watches Jobs and pods, `leader` waits for its turn.
"""
