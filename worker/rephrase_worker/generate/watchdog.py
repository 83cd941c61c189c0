"""Decides that an engine hangs: it has requests and makes no token.

A health check can't tell: vLLM's engine core can die or stall while its server still answers
(vllm-project/vllm 39863). So only progress counts.
"""

from __future__ import annotations

from rephrase_worker.spec import Reason, WorkerError


class Watchdog:
    """Fires when the token count stands still for `timeout` seconds with requests in flight."""

    def __init__(self, *, timeout: float, now: float) -> None:
        self._timeout = timeout
        self._tokens = -1
        self._since = now

    def check(self, *, now: float, tokens: int, in_flight: int) -> None:
        """Look at the engine; call at least a few times within the timeout. Raises ENGINE_HANGS."""
        if tokens != self._tokens or in_flight == 0:
            self._tokens, self._since = tokens, now
        elif now - self._since >= self._timeout:
            raise WorkerError(
                Reason.ENGINE_HANGS,
                f"The engine made no token for {now - self._since:.0f} s with {in_flight} requests in "
                "flight. The worker ends and its shard is tried again. Raise engine.hangTimeoutSeconds "
                "if steps really take that long.",
            )
