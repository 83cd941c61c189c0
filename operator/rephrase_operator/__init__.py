"""The operator: it runs RephraseJobs as Jobs of GPU workers and reports how they are doing.

`api` defines what a RephraseJob is, `observed` what is known about one, and `reconcile` what should be. All
three are plain data and pure functions. `cluster` and `runtime` talk to the cluster; `commands` are for
people.
"""
