"""The operator process: it observes, lets `reconcile` decide, and acts.

`serving` starts it; `handlers` and the `controller` run passes from the `workqueue`, with `polling` for
progress, `actions` and `statuswrite` for what was decided, and `metrics` about it all.
"""
