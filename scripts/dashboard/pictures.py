"""Draws the dashboards: a page that npm builds from dashboards/render, and screenshots of it by Chromium."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlencode

from dashboards.__main__ import FOLDER as DASHBOARDS
from scripts.dashboard.answers import Moment

ROOT = Path(__file__).resolve().parents[2]
RENDER = ROOT / "dashboards" / "render"
IMAGES = ROOT / "docs" / "images"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SECONDS = 300
"""Longest wait for one picture."""

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


class PictureError(Exception):
    """A picture can't be drawn; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture: what it shows, and how."""

    file: str
    dashboard: str
    variables: Mapping[str, str]
    caption: str
    width: int = 1600
    theme: str = "dark"
    sections: tuple[str, ...] = ()
    """Titles of the rows that are drawn, "" for what stands above the first; none means all."""
    panels: tuple[str, ...] = ()
    """Titles of the only panels that are drawn; none means all."""
    without: tuple[str, ...] = ()
    """Titles of panels that are left out, because the job can't have their data."""


@dataclass(frozen=True)
class Painter:
    """Draws pictures of the data of one Prometheus."""

    prometheus: str
    moment: Moment
    browser: str = field(default_factory=lambda: _program(BROWSERS, "apt-get install chromium"))

    def draw(self, pictures: list[Picture], folder: Path = IMAGES) -> None:
        """Draw them all into a folder. Raises PictureError."""
        folder.mkdir(parents=True, exist_ok=True)
        with _serving() as url:
            for picture in pictures:
                self._draw(picture, f"{url}/index.html?{urlencode(self._request(picture))}", folder)

    def _request(self, picture: Picture) -> dict[str, str]:
        asked = {
            "dashboard": picture.dashboard,
            "prometheus": self.prometheus,
            "from": str(int(self.moment.began)),
            "to": str(int(self.moment.ended)),
            "scrape": str(self.moment.scrape_seconds),
            "theme": picture.theme,
            "width": str(picture.width),
            "caption": picture.caption,
            **{f"var-{name}": value for name, value in picture.variables.items()},
        }
        lists = {"sections": picture.sections, "panels": picture.panels, "without": picture.without}
        return asked | {name: "|".join(titles) for name, titles in lists.items() if titles}

    def _draw(self, picture: Picture, url: str, folder: Path) -> None:
        """The page says its height in its title, so it is opened twice: to be measured, and to be drawn."""
        page = self._browse(picture, url, "--dump-dom", "--window-size=1600,1000")
        found = re.search(r"<title>(.*?)</title>", page, re.DOTALL)
        title = found[1] if found else "no page"
        size = re.fullmatch(r"ready (\d+) (\d+)", title)
        if size is None:
            raise PictureError(f"{picture.file}: {title}")
        drawn = folder / picture.file
        self._browse(picture, url, f"--window-size={size[1]},{size[2]}", f"--screenshot={drawn}")

    def _browse(self, picture: Picture, url: str, *flags: str) -> str:
        with tempfile.TemporaryDirectory(prefix="chromium-") as profile:
            command = [self.browser, *_FLAGS, f"--user-data-dir={profile}", "--virtual-time-budget=20000"]
            done = subprocess.run(
                [*command, *flags, url], capture_output=True, text=True, timeout=SECONDS, check=False
            )
        if done.returncode:
            raise PictureError(f"{picture.file}: {self.browser} failed: {done.stderr[-2000:]}")
        return done.stdout


def build() -> None:
    """Install the page's packages, unless that is done, and build it. Raises PictureError."""
    npm = _program(("npm",), "install Node.js 20.19 or newer")
    lock = hashlib.sha256((RENDER / "package-lock.json").read_bytes()).hexdigest()
    stamp = RENDER / "node_modules" / "installed"
    if not stamp.exists() or stamp.read_text() != lock:
        _run(npm, "ci", "--ignore-scripts")
        stamp.write_text(lock)
    _run(npm, "run", "build")


def _run(npm: str, *words: str) -> None:
    done = subprocess.run([npm, *words], cwd=RENDER, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PictureError(f"npm {' '.join(words)}: {(done.stdout + done.stderr)[-3000:]}")


def _program(names: tuple[str, ...], get: str) -> str:
    for name in names:
        if found := shutil.which(name):
            return found
    raise PictureError(f"{names[0]} is not installed: {get}")


@contextmanager
def _serving() -> Iterator[str]:
    """The built page, and beside it the dashboards' JSON and the images of Grafana's components."""
    folders = {
        "dashboards": DASHBOARDS,
        "public": RENDER / "node_modules" / "@grafana" / "ui" / "dist" / "public",
    }

    class Handler(SimpleHTTPRequestHandler):
        def translate_path(self, path: str) -> str:
            top, _, rest = path.split("?")[0].lstrip("/").partition("/")
            if top in folders:
                return str(folders[top] / rest)
            return super().translate_path(path)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Requests are nobody's business; failures show in the page's title."""

    def handler(*arguments: object) -> Handler:
        return Handler(*arguments, directory=str(RENDER / "build"))  # type: ignore[arg-type]

    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
