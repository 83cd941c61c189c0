"""Benchmarks: each measures one claim and writes its result into `results/`."""
