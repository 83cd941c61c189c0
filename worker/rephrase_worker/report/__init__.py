"""What a worker tells about itself, without any permission in the cluster.

`progress` is the running account, `telemetry` serves it over HTTP, `termination` leaves the last report.
"""
