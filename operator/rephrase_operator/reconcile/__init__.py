"""What should be: pure functions from a RephraseJob, what is observed and the time to a decision.

`lifecycle` starts and ends a job, and `chain` goes through its steps: `plan`, `generate` and `finalize`
(`single` is for the two that have one pod). Each policy has a file: `start_deadline`, `error_budget`,
`attempts`, `worker_contract`. All of them fill a `draft`, which becomes a `decision`. `children` and the
prompt `library` say what Jobs are made of, and `events` which Events are posted.
"""
