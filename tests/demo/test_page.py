"""The page with live panels: what it asks Prometheus, what it shows, and what its server answers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from dashboards.reading import filled, names
from scripts.demo.page import view
from scripts.demo.page.panels import Panel, Section, sections
from scripts.demo.page.server import DASHBOARD, application

NOW = 1_000_100.0
RUN = view.Run("default", "demo", started=1_000_000.0, completed=None)
ENDED = view.Run("default", "demo", started=1_000_000.0, completed=1_000_050.0)


def drawn() -> list[Section]:
    return sections(json.loads(DASHBOARD.read_text()))


def panel(title: str) -> Panel:
    return next(one for section in drawn() for one in section.panels if one.title == title)


def series(values: list[tuple[float, str]], **labels: str) -> dict[str, Any]:
    return {"metric": labels, "values": [list(point) for point in values]}


def started(job: str, at: float, completed: float | None = None) -> list[dict[str, Any]]:
    times = {view.STARTED: at, view.COMPLETED: completed}
    return [
        {"metric": {"__name__": name, "namespace": "default", "job": job}, "value": [NOW, str(time)]}
        for name, time in times.items()
        if time is not None
    ]


def test_the_page_draws_the_panels_of_the_dashboard_below_its_headings() -> None:
    found = {section.title: {one.title for one in section.panels} for section in drawn()}
    assert {"Phase", "Progress", "Output tokens/s"} <= found[""]
    assert {"Output tokens/s by prompt", "Slowest workers"} <= found["Speed"]
    assert "KV cache in use" in found["Engines"]
    assert all(one.queries and one.description for section in drawn() for one in section.panels)


def test_no_query_keeps_a_variable() -> None:
    values = view.variables(RUN, view.window(RUN, "run", NOW))
    for section in drawn():
        for one in section.panels:
            for query in one.queries:
                assert not names(filled(query.expression, values)), one.title


def test_what_a_panel_says_about_its_look_is_kept() -> None:
    phase, tokens = panel("Phase"), panel("Tokens in and out")
    assert phase.named
    assert phase.colors["Failed"] == "red"
    assert tokens.stacked
    assert tokens.low == 0


def test_a_table_is_drawn_as_a_list_with_its_columns_and_words() -> None:
    assert [query.legend for query in panel("Slowest workers").queries] == ["{{pod}} · {{node}}"]
    conditions = panel("Conditions")
    assert conditions.words == {"0": ("no", "red"), "1": ("yes", "green")}


def test_the_last_job_is_shown_unless_another_is_asked_for() -> None:
    found = view.runs([*started("first", 100, 200), *started("second", 300)])
    assert [(run.job, run.completed) for run in found] == [("second", None), ("first", 200.0)]
    assert view.chosen(found, "") == found[0]
    assert view.chosen(found, "default/first") == found[1]
    assert view.chosen(found, "default/deleted") == found[0]
    assert view.chosen([], "") is None


@pytest.mark.parametrize(
    ("run", "name", "start", "end"),
    [
        (RUN, "run", RUN.started - view.BEFORE_SECONDS, NOW),
        (ENDED, "run", RUN.started - view.BEFORE_SECONDS, 1_000_060),
        (ENDED, "15m", NOW - 900, NOW),
        (RUN, "1h", NOW - 3600, NOW),
    ],
)
def test_the_time_range_covers_the_run(run: view.Run, name: str, start: float, end: float) -> None:
    window = view.window(run, name, NOW)
    assert (window.start, window.end) == (start, end)
    assert (end - start) / window.step <= view.POINTS


def test_rates_reach_over_several_scrapes() -> None:
    for name in view.RANGES:
        window = view.window(RUN, name, NOW)
        seconds = int(view.variables(RUN, window)["__rate_interval"].removesuffix("s"))
        assert seconds >= 4 * view.SCRAPE_SECONDS
        assert seconds >= window.step


def test_a_job_that_has_ended_is_shown_as_it_stood_at_its_end() -> None:
    window = view.window(ENDED, "run", NOW)
    ran, ended = [(1_000_010, "1"), (1_000_049, "1")], [(1_000_052, "1"), (1_000_060, "1")]
    answer = [series(ran, phase="Running"), series(ended, phase="Succeeded")]
    shown = view.filled_panel(panel("Phase"), [answer], window)
    assert [value["name"] for value in shown["values"]] == ["Succeeded"]
    assert view.filled_panel(panel("Time left"), [[series(ran)]], window)["values"] == []
    workers = view.filled_panel(panel("Slowest workers"), [[series(ran, pod="demo-0")]], window)
    assert len(workers["values"]) == 1


def test_an_old_value_of_a_running_job_is_not_shown() -> None:
    window = view.window(RUN, "run", NOW)
    old, recent = [(NOW - 60, "5")], [(NOW - 4, "5")]
    assert view.filled_panel(panel("Time left"), [[series(old)]], window)["values"] == []
    shown = view.filled_panel(panel("Time left"), [[series(recent)]], window)
    assert shown["values"] == [{"name": "", "value": 5.0}]


def test_what_is_not_a_number_is_left_out() -> None:
    answer = [series([(NOW - 4, "NaN"), (NOW - 2, "+Inf"), (NOW, "0.5")]), series([(NOW, "NaN")])]
    shown = view.filled_panel(panel("Errors"), [answer], view.window(RUN, "run", NOW))
    assert shown["series"] == [{"name": "", "points": [(NOW, 0.5)]}]


def test_a_series_is_named_by_its_labels() -> None:
    assert view.named("{{pod}} on {{ node }}", {"pod": "demo-0"}) == "demo-0 on "


Connect = Callable[..., Awaitable[TestClient[web.Request, web.Application]]]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    clients: list[TestClient[web.Request, web.Application]] = []

    async def made(prometheus: str = "") -> TestClient[web.Request, web.Application]:
        client = TestClient(TestServer(application(prometheus, lambda: NOW)))
        await client.start_server()
        clients.append(client)
        return client

    yield made
    for client in clients:
        await client.close()


@dataclass
class FakePrometheus:
    """Answers as Prometheus does: these jobs, and one value for every query but those that it refuses."""

    jobs: list[dict[str, Any]] = field(default_factory=lambda: started("demo", 1_000_000))
    refused: str = "nothing of this"
    server: TestServer = field(init=False)

    def __post_init__(self) -> None:
        app = web.Application()
        app.router.add_post("/api/v1/query", self.query)
        app.router.add_post("/api/v1/query_range", self.query_range)
        self.server = TestServer(app)

    @property
    def url(self) -> str:
        return str(self.server.make_url("/"))

    async def query(self, request: web.Request) -> web.Response:
        assert (await request.post())["query"] == view.JOBS
        return web.json_response({"status": "success", "data": {"result": self.jobs}})

    async def query_range(self, request: web.Request) -> web.Response:
        asked = await request.post()
        if self.refused in str(asked["query"]):
            return web.json_response({"status": "error", "error": "parse error"}, status=400)
        result = [series([(float(str(asked["end"])), "1")], phase="Running")]
        return web.json_response({"status": "success", "data": {"result": result}})


@pytest.fixture
async def prometheus() -> AsyncIterator[FakePrometheus]:
    fake = FakePrometheus()
    await fake.server.start_server()
    yield fake
    await fake.server.close()


async def data(client: TestClient[web.Request, web.Application], **query: str) -> Any:
    async with client.get("/data", params=query) as answer:
        assert answer.status == 200
        return await answer.json()


async def test_the_page_and_what_it_loads_are_served(connect: Connect) -> None:
    client = await connect()
    for path in ("/", "/static/page.css", "/static/page.js", "/static/chart.js"):
        async with client.get(path) as answer:
            assert answer.status == 200, path
            text = await answer.text()
            assert "//cdn" not in text
            assert "https://" not in text.replace("https://prometheus.io/download", "")


async def test_without_prometheus_the_page_says_how_to_get_it(connect: Connect) -> None:
    client = await connect()
    assert await data(client) == {"state": "no-prometheus"}
    async with client.get("/static/page.js") as script:
        assert "apt-get install prometheus" in await script.text()


async def test_panels_hold_what_prometheus_answers(connect: Connect, prometheus: FakePrometheus) -> None:
    shown = await data(await connect(prometheus.url))
    assert (shown["state"], shown["job"], shown["jobs"]) == ("running", "default/demo", ["default/demo"])
    phase = shown["sections"][0]["panels"][0]
    assert phase["values"] == [{"name": "Running", "value": 1.0}]
    assert "queries" not in phase


async def test_before_the_first_job_the_page_waits(connect: Connect, prometheus: FakePrometheus) -> None:
    prometheus.jobs = []
    assert (await data(await connect(prometheus.url)))["state"] == "waiting"


async def test_a_query_that_is_refused_is_named(connect: Connect, prometheus: FakePrometheus) -> None:
    prometheus.refused = "rephrase_job_eta_seconds"
    shown = await data(await connect(prometheus.url))
    assert shown["state"] == "unreachable"
    assert "rephrase_job_eta_seconds" in shown["error"]
    assert "parse error" in shown["error"]


async def test_a_prometheus_that_is_gone_is_told(connect: Connect, prometheus: FakePrometheus) -> None:
    client = await connect(prometheus.url)
    await prometheus.server.close()
    shown = await data(client)
    assert shown["state"] == "unreachable"
    assert shown["error"]


async def test_an_unknown_time_range_is_refused(connect: Connect) -> None:
    client = await connect()
    async with client.get("/data", params={"range": "1y"}) as answer:
        assert answer.status == 400
        assert "15m" in await answer.text()
