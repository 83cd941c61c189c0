"""The operator: RephraseJob objects in, Jobs of GPU workers and an honest status out.

`api` says what a RephraseJob is, `observed` what is known of one, `reconcile` what should be; all three are
plain data and pure functions. `cluster` and `runtime` see and act; `commands` are for people.
"""
