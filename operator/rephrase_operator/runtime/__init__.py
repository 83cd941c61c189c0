"""The operator process: it observes, lets `reconcile` decide, and acts.

`serving` starts it. `handlers` and the `controller` run passes from the `workqueue`. `polling` asks for
progress, `actions` and `statuswrite` carry out decisions, and `metrics` counts.
"""
