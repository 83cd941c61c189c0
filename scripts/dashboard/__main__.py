"""The command of `make dashboard`; see the package."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dashboards.__main__ import FOLDER as DASHBOARDS
from scripts.dashboard import answers, gallery, jobs, pictures, stage, story
from scripts.monitoring import stack
from scripts.monitoring.process import StartError

HOME = stage.ROOT / ".local" / "dashboard"
RECORD = HOME / "record.json"


def main() -> int:
    """Run the jobs, ask the queries, draw the pictures. Returns 1 when a query is without data."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.dashboard", description="Draw the dashboards with the data of a real run."
    )
    parser.add_argument(
        "--redraw", action="store_true", help="take the data of the last run instead of running jobs again"
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything that was started is ended
    try:
        return _dashboard(redraw=parser.parse_args().redraw)
    except (pictures.PictureError, StartError, story.StoryError) as error:
        print(f"dashboard: {error}", file=sys.stderr)
        return 1


def _dashboard(*, redraw: bool) -> int:
    pictures.build()
    if not redraw:
        shutil.rmtree(HOME, ignore_errors=True)
        HOME.mkdir(parents=True)
        with stage.standing(HOME) as standing:
            RECORD.write_text(json.dumps(asdict(story.play(standing))))
    if not RECORD.exists():
        raise pictures.PictureError("there is no run to draw: leave --redraw out")
    record = story.Record(**json.loads(RECORD.read_text()))
    moment = answers.Moment(record.began, record.moment, stage.SCRAPE_SECONDS)
    prometheus = stack.start_prometheus(HOME / "prometheus", {"global": {}})
    try:
        found = [answer for path in _files() for answer in _ask(prometheus.url, path, moment)]
        print(answers.table(found))
        if missing := [answer for answer in found if not answer.series]:
            print(f"dashboard: {len(missing)} of {len(found)} queries have no data", file=sys.stderr)
            return 1
        pictures.Painter(prometheus.url, moment).draw(gallery.PICTURES)
    finally:
        prometheus.stop()
    print(f"dashboard: all {len(found)} queries have data; the pictures are in docs/images/")
    return 0


def _files() -> list[Path]:
    return sorted(DASHBOARDS.glob("*.json"))


def _ask(prometheus: str, path: Path, moment: answers.Moment) -> list[answers.Answer]:
    dashboard: dict[str, Any] = json.loads(path.read_text())
    choices = (
        [gallery.FLEET] if dashboard["uid"] == "rephrase-fleet" else [gallery.of_job(job) for job in jobs.ALL]
    )
    return answers.answers(prometheus, dashboard, choices, moment)


if __name__ == "__main__":
    sys.exit(main())
