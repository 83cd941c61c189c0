"""`rephrase prompts render`: a document in a prompt, exactly as the model will see it, and its tokens."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from rephrase_operator.commands.parsers import Commands
from rephrase_operator.library import Layout

if TYPE_CHECKING:
    from rephrase_operator.commands.prompts.trying.answers import Document, TriedPrompt

_MEASURE = "x"


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "render",
        help="show a document in a prompt as the model will see it, with token counts",
        description="Show a document in a prompt as the model will see it. With --model it goes through the "
        "model's own chat template and tokenizer, and the counts are in tokens; without, it is the message "
        "alone, and the counts are in characters. The counts go to standard error.",
    )
    parser.add_argument(
        "prompt", metavar="NAME|FILE", help="a prompt of the library, or a prompt file of your own"
    )
    parser.add_argument(
        "--input", required=True, metavar="FILE", help=".jsonl, .parquet or .txt, or any source of a job"
    )
    parser.add_argument(
        "--text-field", default="text", metavar="NAME", help="column of the text; default: text"
    )
    parser.add_argument("--document", type=int, default=1, metavar="N", help="which one, from 1; default: 1")
    parser.add_argument("--model", metavar="FOLDER_OR_ID", help="whose tokenizer and chat template to use")
    parser.add_argument(
        "--layout", choices=[layout.value for layout in Layout], help="default: DocumentFirst"
    )
    parser.add_argument(
        "--max-model-len", type=int, metavar="N", help="context in tokens; default: the model's"
    )
    parser.add_argument(
        "--max-tokens", type=int, metavar="N", help="room for the output; default: the prompt's own"
    )
    parser.set_defaults(run=_run, parser=parser)


def _run(parsed: argparse.Namespace) -> int:
    from rephrase_operator.commands.prompts.trying.answers import TryError
    from rephrase_operator.commands.prompts.trying.inputs import read_documents, read_prompts

    if parsed.document < 1:
        parsed.parser.error("--document: 1 or more")
    if parsed.max_model_len is not None and (parsed.model is None or parsed.max_model_len < 64):
        parsed.parser.error("--max-model-len: 64 or more, and only with --model")
    if parsed.max_tokens is not None and not 1 <= parsed.max_tokens <= 131_072:
        parsed.parser.error("--max-tokens: 1 to 131072")
    try:
        layout = Layout(parsed.layout) if parsed.layout else None
        (prompt,) = read_prompts([parsed.prompt], [layout], temperature=None, max_tokens=parsed.max_tokens)
        (document,) = read_documents(
            parsed.input, parsed.text_field, [prompt.prompt], skip=parsed.document - 1, count=1
        )
        if parsed.model is None:
            _plain(prompt, document)
        else:
            _exact(prompt, document, parsed.model, parsed.max_model_len)
    except TryError as error:
        sys.stderr.write(f"rephrase prompts render: {error}\n")
        return 2
    return 0


def _plain(prompt: TriedPrompt, document: Document) -> None:
    from rich.console import Console
    from rich.text import Text

    from rephrase_operator.commands.prompts.trying.terminal import visible
    from rephrase_worker.rendering.placeholders import parse

    template = parse(prompt.prompt)
    before, after = template.instruction.before, template.instruction.after
    message = f"{before}{template.fill(document.text, document.fields)}{after}"
    shown = message if prompt.prompt.system is None else f"{prompt.prompt.system}\n\n{message}"
    Console(highlight=False, soft_wrap=True).print(Text(visible(shown)))
    Console(stderr=True, highlight=False).print(
        f"characters: {len(shown)} in all, of which the document {len(document.text)}. "
        "Add --model FOLDER_OR_ID for its chat template and its tokens.",
        markup=False,
    )


def _exact(prompt: TriedPrompt, document: Document, model: str, max_model_len: int | None) -> None:
    from rich.console import Console
    from rich.text import Text

    from rephrase_operator.commands.prompts.trying.answers import TryError
    from rephrase_operator.commands.prompts.trying.local import context_length, model_folder
    from rephrase_operator.commands.prompts.trying.terminal import visible
    from rephrase_worker.rendering.errors import DocumentError
    from rephrase_worker.rendering.render import Renderer
    from rephrase_worker.rendering.tokenizer import load_tokenizer

    folder = model_folder(model, weights=False)
    tokenizer = load_tokenizer(str(folder), None, name=model)
    context = max_model_len or context_length(folder, model)
    if context is None:
        raise TryError(f"{model} does not say how long its context is: give --max-model-len")
    renderer = Renderer(
        tokenizer, [prompt.prompt], max_model_len=context, max_tokens=prompt.sampling.max_tokens
    )
    name = prompt.prompt.name
    try:
        rendered = renderer.render(renderer.shorten(document.text), document.fields)
        around = len(renderer.render(_MEASURE, document.fields).prompt_token_ids[name])
        around -= len(tokenizer.starts(_MEASURE))
    except DocumentError as error:
        raise TryError(str(error)) from error
    ids = rendered.prompt_token_ids[name]
    shown = Text()
    for piece, control in tokenizer.pieces(ids):
        shown.append(visible(piece), style="dim magenta" if control else "")
    Console(highlight=False, soft_wrap=True).print(shown)
    cut = " The document is truncated to fit." if rendered.truncated else ""
    Console(stderr=True, highlight=False).print(
        f"tokens: {len(ids)} in all = {around} of instruction and chat template + {len(ids) - around} of the "
        f"document; {prompt.sampling.max_tokens} more for the output, of a context of {context}.{cut}",
        markup=False,
    )
