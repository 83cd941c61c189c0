"""Template collapse: when are texts too much alike, what does that do, and what lets the job go on?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from rephrase_operator.api.conditions import ConditionType
from rephrase_operator.api.policies import TemplateCollapse
from rephrase_operator.api.status import Collapse, Phase, PromptTexts
from rephrase_operator.observed import quality
from rephrase_operator.observed.views import Step
from rephrase_operator.reconcile.template_collapse import judge
from rephrase_worker.spec import PromptQuality
from tests.operator.builders import World, spec_of


def texts(share: float, *, samples: int = 1000, opening: str | None = "Once upon a time.") -> PromptTexts:
    return PromptTexts(samples=samples, top_opening=opening, top_opening_share=share)


KNOWN = Collapse(prompt="math", opening="Here is", share=0.3)


@dataclass(frozen=True, kw_only=True)
class Row:
    name: str
    prompts: dict[str, PromptTexts] = field(default_factory=dict)
    action: str = "Warn"
    limit: float = 0.1
    known: Collapse | None = None
    diverse: bool | None
    stops: bool = False
    says: str = ""


ROWS = [
    Row(name="no texts yet", diverse=None),
    Row(name="too few texts", prompts={"faq": texts(0.9, samples=999)}, diverse=None),
    Row(name="varied", prompts={"faq": texts(0.003)}, diverse=True, says="0.3%"),
    Row(name="exactly the limit is within it", prompts={"faq": texts(0.1)}, diverse=True),
    Row(name="the playbook's collapsed model", prompts={"math": texts(0.115)}, diverse=False, says="math"),
    Row(name="no opening at all", prompts={"faq": texts(0.0, opening=None)}, diverse=True),
    Row(
        name="the worst prompt is named with its opening and share",
        prompts={"faq": texts(0.2, opening="A"), "math": texts(0.4, opening="Here is"), "table": texts(0)},
        diverse=False,
        says='40.0% of the texts of prompt math begin with "Here is"',
    ),
    Row(
        name="it stops the job if asked",
        prompts={"f": texts(0.2)},
        action="Suspend",
        diverse=False,
        stops=True,
    ),
    Row(
        name="stopped it stays when the workers' figures are gone",
        action="Suspend",
        known=KNOWN,
        diverse=False,
        stops=True,
        says="above 0.3",
    ),
    Row(name="a higher limit lets it go on", action="Suspend", limit=0.3, known=KNOWN, diverse=None),
    Row(
        name="a limit that is still too low does not",
        action="Suspend",
        limit=0.29,
        known=KNOWN,
        diverse=False,
        stops=True,
    ),
    Row(name="to warn only lets it go on", action="Warn", known=KNOWN, diverse=False),
    Row(
        name="a limit of 1 turns it off", prompts={"f": texts(1.0)}, action="Suspend", limit=1.0, diverse=True
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_verdict(row: Row) -> None:
    policy = TemplateCollapse(max_share=row.limit, action=row.action)
    verdict = judge(policy, row.known, row.prompts)
    assert (verdict.diverse, verdict.exceeded) == (row.diverse, row.stops)
    assert row.says in verdict.message


def test_sums_add_up_whatever_their_order() -> None:
    one = {"faq": PromptQuality(samples=10, structure_judged=10, structured=4, openings={"A": 5, "B": 1})}
    two = {"faq": PromptQuality(samples=20, structure_judged=20, structured=5, openings={"A": 2, "C": 9})}
    other = {"math": PromptQuality(samples=1, refusals=1)}
    parts: list[quality.Quality] = [one, two, other]
    total = quality.add(parts)
    assert total == quality.add([quality.add(parts[1:]), one]) == quality.add([other, two, one])
    shown = quality.shown(total)["faq"]
    assert (shown.samples, shown.structure_rate, shown.top_opening) == (30, 0.3, "C")
    assert shown.top_opening_share == 0.3
    assert quality.shown(total)["math"].structure_rate is None


def test_openings_in_the_status_are_bounded() -> None:
    many = [{"faq": PromptQuality(samples=1, openings={f"opening {n}": n})} for n in range(1, 101)]
    (sums,) = quality.add(many).values()
    assert len(sums.openings) == 16
    assert max(sums.openings.values()) == 100


def collapsed(samples: int = 1000) -> dict[str, Any]:
    found = PromptQuality(samples=samples, openings={"Here is a problem.": samples // 2})
    return {"quality": {"faq": found}}


def world_of(action: str) -> World:
    policy = {"templateCollapse": {"action": action}}
    return World(raw=spec_of(quality=policy)).planned(shards=3)


def test_a_warning_names_the_prompt_and_stops_nothing() -> None:
    world = world_of("Warn").running(0, **collapsed()).run()
    assert world.reason(ConditionType.DIVERSE) == "False/TemplateCollapse"
    assert world.phase is Phase.RUNNING
    assert world.status.quality["faq"].top_opening_share == 0.5
    assert [event.reason for event in world.events].count("TemplateCollapse") == 1


def test_a_collapse_suspends_the_job_until_the_limit_is_raised_above_it() -> None:
    world = world_of("Suspend").running(0, **collapsed()).run().run()
    assert world.jobs[Step.GENERATE].suspended
    world.pods.clear()
    world.reports.clear()
    world.run()
    assert (world.phase, world.reason(ConditionType.DIVERSE)) == (Phase.SUSPENDED, "False/TemplateCollapse")
    assert "Here is a problem." in (world.status.message or "")
    world.edit(quality={"templateCollapse": {"action": "Suspend", "maxShare": 0.6}}).run().run()
    assert not world.jobs[Step.GENERATE].suspended
    assert world.phase is Phase.RUNNING


def test_finished_shards_are_counted_once_and_the_end_is_exact() -> None:
    world = world_of("Warn").succeed(0, **collapsed(100)).run().run()
    assert world.status.quality["faq"].samples == 100
    world.running(1, **collapsed(10)).run()
    assert world.status.quality["faq"].samples == 110
    world.succeed(1).succeed(2).job_says(Step.GENERATE, complete=True).run()
    exact = {"faq": PromptQuality(samples=30, structure_judged=30, structured=27)}
    world.finalized(quality=exact).run()
    assert world.phase is Phase.SUCCEEDED
    assert world.status.quality["faq"].structure_rate == 0.9
