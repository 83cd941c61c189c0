"""What should be: pure functions from a RephraseJob, what is observed and the time to a decision.

`lifecycle` goes through a job's steps: `plan`, `generate` and `finalize` (two of them of one pod: `single`).
Each policy has a file: `start_deadline`, `error_budget`, `attempts`, `worker_contract`. All fill a `draft`,
which becomes a `decision`. `children` and the prompt `library` say what Jobs are made of, `events` what is
told of it.
"""
