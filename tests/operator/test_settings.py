"""What the installer sets."""

from __future__ import annotations

import pytest

from rephrase_operator.settings import Settings, parse


def test_without_flags_everything_has_its_default() -> None:
    assert parse([], {}) == Settings()


def test_flags_and_environment_are_taken_over() -> None:
    flags = ["--namespace=a", "--namespace=b", "--accelerator-resource=", "--worker-image=w:1"]
    flags += ["--allow-local-paths"]
    flags += ["--worker-security-context", '{"pod": {"runAsUser": 1000}}']
    settings = parse(flags, {"POD_NAMESPACE": "system", "POD_NAME": "operator-0"})
    assert settings.namespaces == ("a", "b")
    assert (settings.accelerator_resource, settings.worker_image) == ("", "w:1")
    assert settings.allow_local_paths
    assert settings.pod_security_context == {"runAsUser": 1000}
    assert settings.container_security_context["allowPrivilegeEscalation"] is False
    assert (settings.lease_namespace, settings.identity) == ("system", "operator-0")


@pytest.mark.parametrize(
    "flag",
    [
        "--worker-security-context={",
        '--worker-security-context={"pods": {}}',
        '--worker-security-context={"pod": 1}',
        "--lease-seconds=1",
        "--log-level=LOUD",
    ],
)
def test_a_flag_that_is_wrong_ends_the_command(flag: str) -> None:
    with pytest.raises(SystemExit):
        parse([flag], {})
