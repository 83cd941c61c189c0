"""What is wrong with a job is refused by the API server, or becomes a condition that says what to do."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import Job, Stage

MakeJob = Callable[..., Job]


def edited(manifest: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with one field set; list positions are numbers in the path."""
    copied = copy.deepcopy(manifest)
    *parents, last = path.split(".")
    place: Any = copied
    for part in parents:
        place = place[int(part)] if part.isdigit() else place.setdefault(part, {})
    place[last] = value
    return copied


PLAIN = {"name": "own", "template": "{{document}}"}
REF = {"name": "prompts", "key": "own.md"}


def secret(variable: str, name: str) -> dict[str, Any]:
    return {"name": variable, "secretKeyRef": {"name": name, "key": "token"}}


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("spec.sourec", {}, "sourec"),
        ("spec.sampling.temprature", 1, "temprature"),
        ("spec.sampling.temperature", 3, "spec.sampling.temperature"),
        ("spec.prompts", [], "spec.prompts"),
        ("spec.prompts", [{"name": "faq"}, {"name": "faq"}], "Duplicate value"),
        ("spec.prompts.0.template", "no placeholder", "{{document}} exactly once"),
        (
            "spec.prompts",
            [PLAIN | {"configMapKeyRef": REF}],
            "template and configMapKeyRef exclude each other",
        ),
        ("spec.prompts", [PLAIN | {"layout": "DocumentFirst"}], "layout is not for templates"),
        ("spec.prompts", [PLAIN | {"unstructured": "Drop"}], "unstructured: Drop needs structure"),
        ("spec.prompts.0.unstructured", "Remove", "Keep"),
        ("spec.prompts.0.layout", "document-first", "InstructionFirst"),
        ("spec.prompts.0.structure", "Q/A pairs", "spec.prompts[0].structure"),
        ("spec.prompts.0.system", "x" * 4097, "spec.prompts[0].system"),
        ("spec.prompts.0.expectedTokens", 0, "spec.prompts[0].expectedTokens"),
        ("spec.prompts.0.configMapKeyRef", {"name": "prompts"}, "configMapKeyRef.key"),
        ("spec.prompts.0.configMapKeyRef", REF | {"name": "Prompts"}, "configMapKeyRef.name"),
        ("spec.prompts.0.configMapKeyRef", REF | {"namespace": "other"}, "configMapKeyRef.namespace"),
        ("spec.engine.maxModelLen", 32 * 2 - 32, "maxModelLen"),
        ("spec.sampling.maxTokens", 4096, "maxTokens must be smaller than engine.maxModelLen"),
        (
            "spec.engine.speculation",
            {"method": "suffix", "numSpeculativeTokens": 8, "promptLookupMax": 4},
            "promptLookupMax is for method ngram only",
        ),
        ("spec.engine.profile", "Fastest One", "spec.engine.profile"),
        ("spec.engine.profile", "qwen3-8b/slowest", "spec.engine.profile"),
        ("spec.worker.gpu", "", "spec.worker.gpu"),
        ("spec.engine.gpuMemoryUtilization", 0.9, "exclude each other"),
        ("spec.sampling.minP", 0.1, "sampling.minP and engine.speculation exclude each other"),
        ("spec.worker.env", [{"name": "HF_TOKEN", "value": "hf_x"}], "secretKeyRef"),
        ("spec.worker.env", [secret("HF_TOKEN", "database")], "name must start with rephrase-"),
        ("spec.worker.env", [secret("HF_ENDPOINT", "rephrase-hub")], "for credentials only"),
        ("spec.worker.env", [{"name": "AWS_REGION"}], "exactly one of value and secretKeyRef"),
        ("metadata.name", "x" * 41, "at most 40"),
        ("metadata.name", "with.dots", "DNS label"),
        ("metadata.name", "with.dots", "metadata.name: Invalid value"),
        ("spec.worker.tolerations", [{"value": "x"}], "operator must be Exists"),
    ],
)
def test_the_api_server_refuses_and_names_the_field(
    stage: Stage, make_job: MakeJob, path: str, value: Any, said: str
) -> None:
    job = make_job(documents=1)
    speculation = {"method": "ngram", "numSpeculativeTokens": 4}
    job.spec["engine"] |= {"maxModelLen": 2048, "kvCacheMemoryBytes": 2**27, "speculation": speculation}
    manifest = edited(job.manifest, path, value)
    refused = stage.kubectl("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(manifest), check=False)
    assert refused.returncode != 0
    assert said in refused.stderr


def test_the_recipe_is_immutable_once_the_job_has_started(stage: Stage, make_job: MakeJob) -> None:
    job = make_job(documents=2, parallelism=0).apply()
    job.wait_until(lambda status: "startTime" in status)
    words = ("patch", job.reference, "--type=merge", "-p", '{"spec": {"sampling": {"temperature": 0.1}}}')
    refused = stage.kubectl(*words, check=False)
    assert refused.returncode != 0
    assert "spec.sampling: Invalid value" in refused.stderr
    assert "sampling can't change once the job has started" in refused.stderr
    assert "<nil>" not in refused.stderr
    job.patch(parallelism=1, engine={"maxNumSeqs": 4})


def test_an_unknown_prompt_is_explained_and_mended_by_an_edit(stage: Stage, make_job: MakeJob) -> None:
    job = make_job(documents=2, prompts=[{"name": "fqa"}]).apply()
    stage.wait(job.reference, "condition=Accepted=False")
    accepted = job.condition("Accepted")
    assert accepted["reason"] == "UnknownPrompt"
    assert "faq, " in accepted["message"]
    job.spec["prompts"] = [{"name": "faq"}]
    job.apply()
    stage.wait(job.reference, "condition=Complete")
    job.check_account(2)


def test_an_unknown_profile_is_explained_and_mended_by_an_edit(stage: Stage, make_job: MakeJob) -> None:
    job = make_job(documents=2)
    job.spec["engine"]["profile"] = "smollm"
    job.apply()
    stage.wait(job.reference, "condition=Accepted=False")
    accepted = job.condition("Accepted")
    assert accepted["reason"] == "UnknownProfile"
    assert "smollm2-1.7b-instruct" in accepted["message"]
    job.spec["engine"]["profile"] = "auto"
    job.apply()
    stage.wait(job.reference, "condition=Complete")
    engine = stage.get(job.reference)["status"]["engine"]
    assert (engine["profile"], engine["gpu"], engine["settings"]["backend"]) == ("none", "CPU", "simulated")
    assert engine["why"]


def no_source(job: Job) -> None:
    job.spec["source"]["uri"] = str(job.folder / "nothing" / "*.parquet")


def no_model(job: Job) -> None:
    job.spec["model"]["name"] = str(job.folder / "no-model")


def output_is_a_file(job: Job) -> None:
    (job.folder / "file").write_text("")
    job.spec["output"]["uri"] = str(job.folder / "file" / "out")


def not_a_parquet_file(job: Job) -> None:
    (job.source / "a.parquet").write_text("not parquet at all")


def no_such_setting(job: Job) -> None:
    job.spec["engine"] = {"quantization": "bitsandbytes"}


def no_suffix_speculation(job: Job) -> None:
    job.spec["engine"] = {"speculation": {"method": "suffix", "numSpeculativeTokens": 32}}


def no_text_field(job: Job) -> None:
    job.spec["source"]["textField"] = "content"


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (no_source, "SourceNotFound"),
        (no_model, "ModelNotFound"),
        (output_is_a_file, "OutputNotWritable"),
        (not_a_parquet_file, "SourceFormat"),
        (no_text_field, "TextFieldMissing"),
        (no_such_setting, "InvalidRecipe"),
        (no_suffix_speculation, "InvalidRecipe"),
    ],
)
def test_a_job_that_can_not_work_fails_while_it_is_planned(
    stage: Stage, make_job: MakeJob, spoil: Callable[[Job], None], reason: str
) -> None:
    job = make_job(documents=3)
    spoil(job)
    job.apply()
    stage.wait(job.reference, "condition=Failed")
    failed = job.condition("Failed")
    assert failed["reason"] == reason
    assert failed["message"]
    assert stage.kubectl("get", f"job/{job.name}-generate", check=False).returncode != 0


def test_a_second_job_on_the_same_output_is_refused(stage: Stage, make_job: MakeJob, tmp_path: Path) -> None:
    first = make_job(documents=2).apply()
    stage.wait(first.reference, "condition=Complete")
    second = make_job(documents=3, output={"uri": str(first.output)}).apply()
    stage.wait(second.reference, "condition=Failed")
    assert second.condition("Failed")["reason"] == "OutputInUse"
    first.check_account(2)


def test_a_source_that_changed_after_planning_fails_its_shard(stage: Stage, make_job: MakeJob) -> None:
    job = make_job(documents=6, per_shard=2, parallelism=0).apply()
    stage.wait(job.reference, "condition=Planned")
    with (job.source / "b.jsonl").open("a") as file:
        file.write('{"text": "one more"}\n')
    job.patch(parallelism=2)
    stage.wait(job.reference, "condition=Failed")
    failed = job.condition("Failed")
    assert failed["reason"] == "ShardsFailed"
    assert "SourceChanged" in failed["message"]
    status = job.status()
    assert status["shards"]["failed"] == 1
    assert status["progress"]["documents"] == 4
