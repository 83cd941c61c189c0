"""One checker a program: does a command of the documentation exist, with these flags?

A checker says what is wrong with a command, or nothing. It asks the program's own parser and never a cluster.
A program without a checker is an error, so that no command escapes.
"""

from __future__ import annotations

import contextlib
import io
import re
import subprocess
from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from localcluster import __main__ as localcluster_cli
from rephrase_operator import cli as rephrase_cli
from rephrase_worker import cli as worker_cli
from tests.chart.helm import CHART, tool
from tests.requirements import ROOT

Files = Mapping[str, Path]
"""Files that the page shows, by name."""
Checker = Callable[[list[str], Files], str]

READERS_OWN = {"job.yaml", "rephrasejob.yaml"}
"""How the pages call the manifest of the reader's own job."""
_TAKES_A_VALUE = {"-n", "--namespace", "-l", "--selector", "-o", "--output", "-f", "--filename", "-c", "-p"}
_GROUPS = {"create", "rollout", "config", "auth", "top", "set"}
_TAKES_A_KIND = {"get", "delete", "describe", "scale", "patch", "wait", "annotate", "label", "edit"}
_KINDS = {
    *(
        "pod",
        "job",
        "deployment",
        "service",
        "configmap",
        "secret",
        "event",
        "node",
        "namespace",
        "lease",
        "crd",
    ),
    *("persistentvolumeclaim", "pvc", "networkpolicy", "storageclass", "serviceaccount", "clusterrole"),
    *(
        "poddisruptionbudget",
        "prometheusrule",
        "podmonitor",
        "servicemonitor",
        "runtimeclass",
        "priorityclass",
    ),
}
_OTHER: dict[str, set[str]] = {
    "export": set(),
    "pip install": {"--upgrade"},
    "cosign verify": {"--certificate-identity-regexp", "--certificate-oidc-issuer"},
    "gh attestation verify": {"--owner"},
}
"""Forms of other programs, and their flags."""


def problem(words: list[str], files: Files) -> str:
    """What is wrong with a command; empty for nothing."""
    name = Path(words[0]).name
    if name in CHECKERS:
        return CHECKERS[name](words[1:], files)
    form = next((form for form in _OTHER if words[: form.count(" ") + 1] == form.split()), None)
    if form is None:
        return f"no checker knows `{' '.join(words[:2])}`: add one to tests/docs/programs.py"
    unknown = {word.partition("=")[0] for word in words if word.startswith("-")} - _OTHER[form]
    return f"{form}: unknown flags {', '.join(sorted(unknown))}" if unknown else ""


@cache
def asked_for_help(program: str, arguments: tuple[str, ...]) -> tuple[int, str]:
    """Exit status and words of a command with --help. kubectl and helm parse all flags and values first."""
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    done = subprocess.run([tool(program), *own, "--help"], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout or done.stderr.splitlines()[0]


def _kubectl(words: list[str], files: Files) -> str:
    if words[0] == "rephrase":
        return _rephrase(words[1:], files)
    status, said = asked_for_help("kubectl", tuple(words))
    if status:
        return said
    verb, *rest = _positional(words)
    if verb in _GROUPS and rest and f"kubectl {verb} {rest[0]}" not in said:
        return f"kubectl {verb} has no {rest[0]}"
    if verb == "explain" and rest:
        return _no_field(rest[0])
    if verb in _TAKES_A_KIND and rest:
        kinds = re.split(",", rest[0].partition("/")[0])
        unknown = [kind for kind in kinds if kind not in _schemas() and _singular(kind) not in _KINDS]
        if unknown:
            return f"no such resource: {', '.join(unknown)}"
    return _missing_files(words, files)


def _positional(words: list[str]) -> list[str]:
    """A command's words that are neither flags nor values of flags."""
    pairs = zip(["", *words], words, strict=False)
    return [word for before, word in pairs if not word.startswith("-") and before not in _TAKES_A_VALUE]


def _singular(kind: str) -> str:
    return re.sub("ie$", "y", re.sub("(?<=ss)es$|s$", "", kind)) if kind.endswith("s") else kind


@cache
def _schemas() -> dict[str, dict[str, Any]]:
    """The schemas of this project's kinds, by every name that kubectl knows."""
    found = {}
    for path in (ROOT / "crds").glob("*.yaml"):
        spec = yaml.safe_load(path.read_text())["spec"]
        names = spec["names"]
        known = [
            names["plural"],
            names["singular"],
            *names["shortNames"],
            f"{names['plural']}.{spec['group']}",
        ]
        found |= dict.fromkeys(known, spec["versions"][0]["schema"]["openAPIV3Schema"])
    return found


def _no_field(path: str) -> str:
    kind, *fields = path.split(".")
    if kind not in _schemas():
        return f"no such resource: {kind}"
    node = _schemas()[kind]
    for field in fields:
        inner = node.get("items", node).get("properties", {})
        if field not in inner:
            return f"{path}: there is no field {field}"
        node = inner[field]
    return ""


def _missing_files(words: list[str], files: Files) -> str:
    """Files that a command reads and that neither the repository nor the page has."""
    named = [after for word, after in pairwise(words) if word in ("-f", "--values")]
    named += [word.rpartition("=")[2] for word in words if re.match("--(filename|values)=", word)]
    gone = [name for name in named if name not in (*files, *READERS_OWN, "-") and not (ROOT / name).exists()]
    return f"no file {gone[0]}: neither the repository nor a block of the page has it" if gone else ""


def _helm(words: list[str], files: Files) -> str:
    status, said = asked_for_help("helm", tuple(words))
    if status:
        return said
    missing = _missing_files(words, files)
    if (
        missing
        or str(CHART.relative_to(ROOT)) not in words
        or words[0] not in ("install", "upgrade", "template")
    ):
        return missing
    flags: list[str] = []
    for word, after in zip(words, [*words[1:], ""], strict=True):
        if word in ("--set", "--set-string", "--set-json", "-f", "--values"):
            flags += [word, str(files.get(after, after))]
    return rendered(tuple(flags))


@cache
def rendered(flags: tuple[str, ...]) -> str:
    """What helm says when it can't render the chart with these flags; empty when it can."""
    command = [tool("helm"), "template", "docs", str(CHART), *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    return done.stderr.strip() if done.returncode else ""


def _parsed(parser: ArgumentParser, words: list[str]) -> str:
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            parser.parse_args(words)
        except SystemExit as end:
            return said.getvalue().strip().splitlines()[-1] if end.code else ""
    return ""


def _rephrase(words: list[str], files: Files) -> str:
    return _parsed(rephrase_cli.parser(), _help_for_a_name(words)) or _missing_files(words, files)


def _rephrase_worker(words: list[str], files: Files) -> str:
    return _parsed(worker_cli.parser(), _help_for_a_name(words))


def _help_for_a_name(words: list[str]) -> list[str]:
    """A command's name alone, as in a sentence, only has to exist."""
    return [*words, "--help"] if all(word.isalpha() and word.islower() for word in words) else words


def _make(words: list[str], files: Files) -> str:
    text = (ROOT / "Makefile").read_text()
    for word in words:
        name, assigned, _ = word.partition("=")
        if assigned and not re.search(rf"^{name} \?=|\$\({name}[),]|\$\${{?{name}\b", text, re.MULTILINE):
            return f"the Makefile does not look at {name}"
        if not assigned and not re.search(rf"^{re.escape(word)}:", text, re.MULTILINE):
            return f"the Makefile has no target {word}"
    return ""


def _docker(words: list[str], files: Files) -> str:
    parser = ArgumentParser(prog="docker")
    commands = parser.add_subparsers(required=True)
    build, push = commands.add_parser("build"), commands.add_parser("push")
    targets = re.findall(r"^FROM \S+ AS (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    build.add_argument("--target", required=True, choices=targets)
    build.add_argument("-t", "--tag", required=True)
    build.add_argument("context", choices=["."])
    push.add_argument("image")
    return _parsed(parser, words)


def _python(words: list[str], files: Files) -> str:
    if words[:2] == ["-m", "localcluster"]:
        return _parsed(localcluster_cli.parser(), words[2:])
    if words[0] == "-m" and words[1].startswith("bench."):
        benchmark = ROOT / (words[1].replace(".", "/") + ".py")
        return "" if benchmark.exists() else f"there is no benchmark {words[1]}"
    if words[:2] != ["-m", "pytest"]:
        return f"no checker knows `python {' '.join(words[:2])}`"
    paths = [word.partition("::")[0] for word in words if word.startswith("tests/")]
    missing = [path for path in paths if not (ROOT / path).exists()]
    return f"no such tests: {', '.join(missing)}" if missing else ""


CHECKERS: dict[str, Checker] = {
    "kubectl": _kubectl,
    "helm": _helm,
    "rephrase": _rephrase,
    "rephrase-worker": _rephrase_worker,
    "make": _make,
    "docker": _docker,
    "python": _python,
}
PROGRAMS = frozenset(CHECKERS) | {form.partition(" ")[0] for form in _OTHER}
"""Names that begin a command, within a sentence too."""
