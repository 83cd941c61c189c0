"""What the installer sets."""

from __future__ import annotations

import pytest

from rephrase_operator.settings import Settings, parse


def test_without_flags_everything_has_its_default() -> None:
    assert parse([]) == Settings()


def test_flags_and_environment_are_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    flags = ["--namespace=a", "--namespace=b", "--worker-image=w:1"]
    flags += ["--pod-defaults", '{"podSecurityContext": {"runAsUser": 1000}}', "--allow-local-paths"]
    monkeypatch.setenv("POD_NAMESPACE", "system")
    monkeypatch.setenv("POD_NAME", "operator-0")
    settings = parse(flags)
    assert settings.namespaces == ("a", "b")
    assert settings.worker_image == "w:1"
    assert settings.pod_defaults.pod_security_context == {"runAsUser": 1000}
    assert settings.pod_defaults.container_security_context["allowPrivilegeEscalation"] is False
    assert settings.allow_local_paths
    assert (settings.lease_namespace, settings.identity) == ("system", "operator-0")


def test_every_flag_is_a_variable_too_and_a_flag_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPHRASE_RUN_WORKER_IMAGE", "w:2")
    monkeypatch.setenv("REPHRASE_RUN_LEASE_SECONDS", "30")
    settings = parse(["--lease-seconds=20"])
    assert (settings.worker_image, settings.lease_seconds) == ("w:2", 20)


def test_variables_that_kubernetes_sets_for_services_are_none_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REPHRASE_OPERATOR_METRICS_PORT", "tcp://10.0.0.7:9090")
    assert parse([]).metrics_port == 9090


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--pod-defaults={", "--pod-defaults: Invalid JSON"),
        ("--pod-defaults=7", "--pod-defaults"),
        ('--pod-defaults={"tolerations":[{"kye":"a"}]}', "--pod-defaults: tolerations.0.kye: Extra"),
        ('--pod-defaults={"nodeSelector":{"a b":"c"}}', "--pod-defaults: nodeSelector.a b.[key]"),
        ('--pod-defaults={"labels":{"rephrase.dev/job":"x"}}', "rephrase.dev/job belongs to the operator"),
        ('--pod-defaults={"env":{"HF_HOME":"/x"}}', "HF_HOME is set by the operator"),
        ('--pod-defaults={"env":{"HF_TOKEN":"hf_x"}}', "HF_TOKEN is a credential"),
        ('--pod-defaults={"env":{"A":"' + "x" * 16_384 + '"}}', "at most 16384 are possible"),
        ("--lease-seconds=1", "--lease-seconds: Input should be greater than or equal to 2, not '1'"),
        ("--lease-seconds=soon", "--lease-seconds: Input should be a valid integer"),
        ("--metrics-port=99999", "--metrics-port"),
        ("--log-level=LOUD", "--log-level"),
        ("--worker-imgae=x", "unrecognized arguments: --worker-imgae=x"),
    ],
)
def test_a_flag_that_is_wrong_ends_the_command_and_is_named(
    flag: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse([flag])
    assert ended.value.code == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_a_variable_that_is_wrong_is_named_as_its_flag(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REPHRASE_RUN_LEASE_SECONDS", "soon")
    with pytest.raises(SystemExit):
        parse([])
    assert "lease-seconds" in capsys.readouterr().err
