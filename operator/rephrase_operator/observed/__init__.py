"""What is known of a job, and what it adds up to. Plain data and pure functions.

`views` are Kubernetes' objects cut down to what is used; `accounting`, `progress` and `readiness` judge them;
`intervals` are sets of shards.
"""
