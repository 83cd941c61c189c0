"""Prometheus without the Prometheus operator, from what the chart renders for it.

`chart` renders the monitors, `scrape` translates them into Prometheus' own configuration, and `stack` runs a
Prometheus with it, which `discovery` tells the pods.
"""
