"""`make dashboard`: runs jobs, scrapes them with Prometheus, asks every query of the dashboards, draws them.

`jobs` says what runs and `stage` what it runs on, `story` makes it happen, `answers` asks the queries, and
`pictures` draws the panels with Grafana's own components. `bin/` holds the worker of the simulated jobs.
"""
