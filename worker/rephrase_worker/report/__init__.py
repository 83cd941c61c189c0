"""What a worker tells about itself, without any permission in the cluster.

`progress` is the running account, `metrics` are its figures for Prometheus, `telemetry` serves both over
HTTP, `termination` leaves the last report.
"""
