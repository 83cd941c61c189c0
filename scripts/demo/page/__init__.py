"""The page with live panels that `make demo-up` serves.

Its panels are those of the Grafana dashboard of a job: `panels` reads them from the chart, `view` puts what
Prometheus answers into them, and `server` gives both to the browser. `static/` draws them.
"""
