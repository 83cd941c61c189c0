"""The operator: RephraseJob objects in, Jobs of GPU workers and an honest status out.

`api` and `crd` say what a RephraseJob is, `reconcile` decides what should be, everything else observes
and acts.
"""
