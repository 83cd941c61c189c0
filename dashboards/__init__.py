"""The Grafana dashboards as code: `make generate` writes charts/rephrase-operator/dashboards/ from it.

`fleet` shows all jobs, `job` shows one. `style` has the kinds of panels that both use, `queries` and
`variables` what they ask Prometheus. `reading` reads a finished dashboard, for tests and other pages.
"""
