"""The demo on the user's own cluster: `make demo KUBECONFIG=...`.

`preflight` finds out whether it can work there, `manifests` writes what it puts there, `waiting` says why a
pod does not run, `in_pod` is what its own pods do, and `run` does one after the other.
"""
