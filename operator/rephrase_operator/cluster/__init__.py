"""The connection to the cluster: requests, a mirror of what exists, and the Lease of the leader.

`kube` is the client, `mirror` lists and watches Jobs and pods, `leader` gets and renews the Lease.
"""
