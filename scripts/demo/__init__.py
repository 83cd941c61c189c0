"""The demo: the whole product on one machine, from kubectl apply to a rephrased dataset.

`local` runs it on this machine; `input` and `model` make what it needs, `output` prints what it made.
"""
