"""A server with OpenAI's chat completions: vLLM's own, or any that speaks as it does."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx

from rephrase_operator.commands.prompts.trying.answers import Answer, Document, TriedPrompt, TryError

AT_ONCE = 8
"""Requests in flight."""
ATTEMPTS = 5
_BUSY = frozenset({408, 429, 500, 502, 503, 504})
_LONGEST_WAIT_SECONDS = 30.0
_TIMEOUT_SECONDS = 300.0
_MESSAGE_LIMIT = 300


class Server:
    """`Answering` by a URL. The key is sent to that URL and shown nowhere."""

    def __init__(
        self,
        url: str,
        model: str | None,
        key: str | None,
        *,
        first_wait: float = 1.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._url = url.rstrip("/").removesuffix("/chat/completions")
        self.model = model or ""
        self._first_wait = first_wait
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._key = key
        try:
            self._http = httpx.AsyncClient(
                headers={"Authorization": f"Bearer {key}"} if key else {},
                timeout=httpx.Timeout(_TIMEOUT_SECONDS, connect=10.0),
                transport=transport,
            )
        except (UnicodeEncodeError, ValueError) as error:
            raise TryError(
                "the key can't be sent in a header: it holds other than ASCII characters"
            ) from error

    async def start(self) -> None:
        """Ask for the one model of the server where none was named."""
        if self.model:
            return
        names = await self._models()
        if len(names) != 1:
            raise TryError(
                f"--model: name one of the models of {self._url}: {', '.join(names) or 'none listed'}"
            )
        self.model = names[0]

    async def answer(self, prompt: TriedPrompt, document: Document) -> Answer:
        """Ask once for an output; again after errors that pass."""
        from rephrase_worker.rendering.placeholders import parse

        template = parse(prompt.prompt)
        message = (
            template.instruction.before
            + template.fill(document.text, document.fields)
            + template.instruction.after
        )
        system = [] if prompt.prompt.system is None else [{"role": "system", "content": prompt.prompt.system}]
        body = {
            "model": self.model,
            "messages": [*system, {"role": "user", "content": message}],
            "temperature": prompt.sampling.temperature,
            "max_tokens": prompt.sampling.max_tokens,
        }
        async with self._slots:
            began = time.monotonic()
            response = await self._ask("POST", "/chat/completions", body)
        if response.status_code != 200:
            return Answer(error=f"the server answers {response.status_code}: {self._said(response)}")
        return _answer(response, time.monotonic() - began)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _ask(self, method: str, path: str, body: object = None) -> httpx.Response:
        """The answer, which may be an error of this request alone. Raises TryError for those of all."""
        wait = self._first_wait
        for attempt in range(1, ATTEMPTS + 1):
            try:
                response = await self._http.request(method, f"{self._url}{path}", json=body)
            except httpx.ConnectError as error:
                raise TryError(
                    f"{self._url} can't be reached: {error}. Is the server running, and is the port right?"
                ) from error
            except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
                raise TryError(f"--url {self._url}: {error}. Give http://HOST:PORT/v1") from error
            except httpx.TransportError as error:
                if attempt == ATTEMPTS:
                    raise TryError(
                        f"{self._url} broke off {attempt} times: {type(error).__name__}"
                    ) from error
            else:
                if response.status_code not in _BUSY or attempt == ATTEMPTS:
                    await self._refuse(response, path)
                    return response
                wait = max(wait, _asked_to_wait(response))
            await asyncio.sleep(min(wait, _LONGEST_WAIT_SECONDS))
            wait *= 2
        raise AssertionError("the last attempt returns or raises")

    async def _refuse(self, response: httpx.Response, path: str) -> None:
        """Raise TryError for what every request will be answered with."""
        status = response.status_code
        if status in (401, 403):
            raise TryError(
                f"{self._url} answers {status}: it wants "
                + ("another key than the one given" if self._key else "a key")
                + ". Put it into an environment variable and name that with --api-key-env"
            )
        if status == 404 and path != "/models":
            try:
                names = await self._models()
            except TryError:
                names = []
            if names and self.model not in names:
                raise TryError(f"{self._url} has no model {self.model}. It has {', '.join(names)}")
            raise TryError(
                f"{self._url}{path} is not there (404): {self._said(response)}. The URL mostly ends in /v1"
            )
        if 300 <= status < 400:
            raise TryError(f"{self._url} sends requests elsewhere ({status}). Give the URL that it names")

    async def _models(self) -> list[str]:
        response = await self._ask("GET", "/models")
        try:
            return [str(model["id"]) for model in response.json()["data"]]
        except (ValueError, KeyError, TypeError) as error:
            raise TryError(f"{self._url}/models lists no models. Name one with --model") from error

    def _said(self, response: httpx.Response) -> str:
        """The server's message, without the key should it quote that."""
        try:
            said: Any = response.json()
            error = said.get("error", said)
            text = str(error.get("message", error) if isinstance(error, dict) else error)
        except (ValueError, AttributeError):
            text = response.text
        if self._key:
            text = text.replace(self._key, "[key]")
        text = " ".join(text.split())
        return text if len(text) <= _MESSAGE_LIMIT else f"{text[:_MESSAGE_LIMIT]}..."


def _answer(response: httpx.Response, seconds: float) -> Answer:
    try:
        body = response.json()
        choice, usage = body["choices"][0], body.get("usage") or {}
        text = choice["message"].get("content")
        return Answer(
            text=text or "",
            error=None if text else "the answer is empty: a model that thinks may need more --max-tokens",
            finish_reason=str(choice.get("finish_reason") or ""),
            prompt_tokens=usage.get("prompt_tokens"),
            output_tokens=usage.get("completion_tokens"),
            seconds=seconds,
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return Answer(error="the server's answer is no chat completion")


def _asked_to_wait(response: httpx.Response) -> float:
    try:
        return float(response.headers.get("retry-after", "0"))
    except ValueError:
        return 0.0
