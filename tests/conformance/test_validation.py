"""What the API server refuses of Jobs, pods, ConfigMaps and claims, in the words of kube-apiserver 1.36.

Every request is a dry run: nothing is made, so that the tests need no node.
"""

from typing import Any

import pytest

from tests.conformance.conftest import Api

Object = dict[str, Any]
SUBDOMAIN = "a lowercase RFC 1123 subdomain must consist of"
NAME = "name part must consist of alphanumeric characters"
LONG = "x" * 64
VOLUME: Object = {"name": "v", "emptyDir": {}}


def template(container: Object, pod: Object) -> Object:
    main = {"name": "main", "image": "none", "command": ["true"], **container}
    return {"restartPolicy": "Never", "containers": [main], **pod}


def job(
    *,
    name: str = "j",
    meta: Object | None = None,
    labels: Object | None = None,
    notes: Object | None = None,
    container: Object | None = None,
    pod: Object | None = None,
    **spec: Any,
) -> Object:
    inner = {
        "metadata": {"labels": labels, "annotations": notes},
        "spec": template(container or {}, pod or {}),
    }
    body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, **(meta or {})}}
    return {**body, "spec": {**spec, "template": inner}}


def indexed(completions: int | None = 2, **more: Any) -> Object:
    return job(completionMode="Indexed", completions=completions, **more)


def policy(*rules: Object, **more: Any) -> Object:
    return job(podFailurePolicy={"rules": list(rules)}, **more)


def codes(*values: int, action: str = "Ignore", operator: str = "In", **more: Any) -> Object:
    return {"action": action, "onExitCodes": {"operator": operator, "values": list(values), **more}}


def conditions(*found: Object) -> Object:
    return {"action": "Ignore", "onPodConditions": list(found)}


def contained(**container: Any) -> Object:
    return job(container=container)


def env(**variable: Any) -> Object:
    return contained(env=[{"name": "A", **variable}])


def resources(**found: Object) -> Object:
    return contained(resources=found)


def mounted(*mounts: Object) -> Object:
    listed = [{"name": "v", **mount} for mount in mounts]
    return job(container={"volumeMounts": listed}, pod={"volumes": [VOLUME]})


def volume(**found: Any) -> Object:
    return job(pod={"volumes": [{"name": "v", **found}]})


def ports(*found: Object) -> Object:
    return contained(ports=list(found))


def tolerated(**found: Any) -> Object:
    return job(pod={"tolerations": [found]})


RULE = "spec.podFailurePolicy.rules[0]"
POD = "spec.template.spec"
MAIN = "spec.template.spec.containers[0]"
MANY = 100_000
REFUSED: list[tuple[Object, str]] = [
    # Counts
    (job(parallelism=-1), "spec.parallelism: Invalid value: -1: must be greater than or equal to 0"),
    (job(completions=-1), "spec.completions: Invalid value: -1: must be greater than or equal to 0"),
    (job(backoffLimit=-1), "spec.backoffLimit: Invalid value: -1: must be greater than or equal to 0"),
    (job(activeDeadlineSeconds=-1), "spec.activeDeadlineSeconds: Invalid value: -1: must be greater than or"),
    (
        job(ttlSecondsAfterFinished=-1),
        "spec.ttlSecondsAfterFinished: Invalid value: -1: must be greater than or",
    ),
    (
        indexed(backoffLimitPerIndex=-1),
        "spec.backoffLimitPerIndex: Invalid value: -1: must be greater than or",
    ),
    (
        indexed(backoffLimitPerIndex=1, maxFailedIndexes=-1),
        "spec.maxFailedIndexes: Invalid value: -1: must be greater than or equal to 0",
    ),
    # Indexes
    (
        job(completionMode="Odd"),
        'spec.completionMode: Unsupported value: "Odd": supported values: "NonIndexed", "Indexed"',
    ),
    (indexed(None, parallelism=2), "spec.completions: Required value: when completion mode is Indexed"),
    (
        indexed(maxFailedIndexes=1),
        "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified",
    ),
    (
        indexed(backoffLimitPerIndex=1, maxFailedIndexes=3),
        "spec.maxFailedIndexes: Invalid value: 3: must be less than or equal to completions",
    ),
    (
        job(backoffLimitPerIndex=1),
        "spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode",
    ),
    (
        job(backoffLimitPerIndex=1, maxFailedIndexes=1),
        "spec.maxFailedIndexes: Invalid value: 1: requires indexed completion mode",
    ),
    (
        indexed(parallelism=MANY + 1),
        "spec.parallelism: Invalid value: 100001: must be less than or equal to 100000 when completion mode",
    ),
    (
        indexed(MANY + 1, backoffLimitPerIndex=1),
        "spec.maxFailedIndexes: Required value: must be specified when completions is above 100000",
    ),
    (
        indexed(MANY + 1, backoffLimitPerIndex=1, maxFailedIndexes=10_001),
        "spec.maxFailedIndexes: Invalid value: 10001: must be less than or equal to 10000 when completions",
    ),
    (
        indexed(MANY + 2, backoffLimitPerIndex=1, maxFailedIndexes=MANY + 1),
        "spec.maxFailedIndexes: Invalid value: 100001: must be less than or equal to 100000",
    ),
    # Names: those of the pods, NAME-INDEX, have to be DNS labels
    (
        indexed(11, name="j" * 61),
        f"will not able to create pod with invalid DNS label: {'j' * 61}-10",
    ),
    (
        indexed(name="a.b"),
        'metadata.name: Invalid value: "a.b": will not able to create pod with invalid DNS',
    ),
    (job(name="j" * 64), 'spec.template.labels: Invalid value: "jjj'),
    (job(name="J_"), f'metadata.name: Invalid value: "J_": {SUBDOMAIN}'),
    # Policies
    (
        job(podReplacementPolicy="Odd"),
        'spec.podReplacementPolicy: Unsupported value: "Odd": supported values: "Failed",',
    ),
    (
        policy(codes(1), podReplacementPolicy="TerminatingOrFailed"),
        'spec.podReplacementPolicy: Unsupported value: "TerminatingOrFailed": supported values: "Failed"',
    ),
    (policy(*[codes(1)] * 21), "spec.podFailurePolicy.rules: Too many: 21: must have at most 20 items"),
    (policy(codes(*range(1, 257))), f"{RULE}.onExitCodes.values: Too many: 256: must have at most 255 items"),
    (policy(codes(2, 1)), f"{RULE}.onExitCodes.values: Invalid value: [2,1]: must be ordered"),
    (policy(codes(1, 1)), f"{RULE}.onExitCodes.values[1]: Duplicate value: 1"),
    (policy(codes(0)), f"{RULE}.onExitCodes.values[0]: Invalid value: 0: must not be 0 for the In operator"),
    (policy(codes()), f"{RULE}.onExitCodes.values: Invalid value: []: at least one value is required"),
    (
        policy(codes(1, operator="Is")),
        f'{RULE}.onExitCodes.operator: Unsupported value: "Is": supported values: "In", "NotIn"',
    ),
    (
        policy({"action": "Ignore", "onExitCodes": {"values": [1]}}),
        f'{RULE}.onExitCodes.operator: Required value: valid values: ["In" "NotIn"]',
    ),
    (
        policy(codes(1, containerName="other")),
        f'{RULE}.onExitCodes.containerName: Invalid value: "other": must be one of the container or',
    ),
    (
        policy(codes(1, action="Odd")),
        f'{RULE}.action: Unsupported value: "Odd": supported values: "Count", "FailIndex", "FailJob",',
    ),
    (
        policy(codes(1, action="FailIndex")),
        f'{RULE}.action: Invalid value: "FailIndex": requires the backoffLimitPerIndex to be set',
    ),
    (
        policy({"onExitCodes": {"operator": "In", "values": [1]}}),
        f'{RULE}.action: Required value: valid values: ["Count" "FailIndex" "FailJob" "Ignore"]',
    ),
    (
        policy({"action": "Ignore"}),
        f"{RULE}: Invalid value: specifying one of OnExitCodes and OnPodConditions is required",
    ),
    (
        policy(conditions()),
        f"{RULE}: Invalid value: specifying one of OnExitCodes and OnPodConditions is required",
    ),
    (
        policy({**codes(1), **conditions({"type": "A"})}),
        f"{RULE}: Invalid value: specifying both OnExitCodes and OnPodConditions is not supported",
    ),
    (policy(conditions({"type": "a b"})), f'{RULE}.onPodConditions[0].type: Invalid value: "a b": {NAME}'),
    (
        policy(conditions({"type": "A", "status": "Maybe"})),
        f'{RULE}.onPodConditions[0].status: Unsupported value: "Maybe"',
    ),
    (
        policy(conditions(*[{"type": "A"}] * 21)),
        f"{RULE}.onPodConditions: Too many: 21: must have at most 20 items",
    ),
    (
        policy(codes(1), pod={"restartPolicy": "OnFailure"}),
        f'{POD}.restartPolicy: Invalid value: "OnFailure": only "Never" is supported when podFailurePolicy',
    ),
    (
        job(pod={"restartPolicy": "Always"}),
        f'{POD}.restartPolicy: Required value: valid values: "OnFailure", "Never"',
    ),
    (
        job(pod={"restartPolicy": None}),
        f'{POD}.restartPolicy: Required value: valid values: "OnFailure", "Never"',
    ),
    # Selector and labels
    (job(selector={"matchLabels": {"a": "b"}}), "`selector` not auto-generated"),
    (job(labels={"controller-uid": "x"}), "spec.template.metadata.labels[controller-uid]: Invalid value: "),
    (job(labels={"job-name": "x"}), "must be 'j'"),
    (
        job(labels={"batch.kubernetes.io/job-name": "x"}),
        "labels[batch.kubernetes.io/job-name]: Invalid value: ",
    ),
    (
        job(labels={"a": LONG}),
        f'spec.template.labels: Invalid value: "{LONG}": must be no more than 63 bytes',
    ),
    (job(labels={"a b": "x"}), f'spec.template.labels: Invalid value: "a b": {NAME}'),
    (
        job(labels={"a/b/c": "x"}),
        'spec.template.labels: Invalid value: "a/b/c": a valid label key must consist of',
    ),
    (job(labels={"UP/x": "x"}), f'spec.template.labels: Invalid value: "UP/x": prefix part {SUBDOMAIN}'),
    (job(notes={"a b": "x"}), f'spec.template.annotations: Invalid value: "a b": {NAME}'),
    (
        job(meta={"labels": {"a": "b c"}}),
        'metadata.labels: Invalid value: "b c": a valid label must be an empty',
    ),
    (
        job(meta={"labels": {LONG: ""}}),
        f'metadata.labels: Invalid value: "{LONG}": name part must be no more than',
    ),
    (
        job(meta={"annotations": {"a": "x" * 262_144}}),
        "metadata.annotations: Too long: may not be more than 262144 bytes",
    ),
    (
        job(meta={"finalizers": ["nodomain"]}),
        'metadata.finalizers[0]: Invalid value: "nodomain": name is neither a standard finalizer name nor is',
    ),
    (
        job(meta={"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": ""}]}),
        'metadata.ownerReferences.uid: Invalid value: "": must not be empty',
    ),
    (
        job(
            meta={
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": name, "controller": True}
                    for name in "cd"
                ]
            }
        ),
        'Only one reference can have Controller set to true. Found "true" in references for ConfigMap/c and',
    ),
    # Containers
    (job(pod={"containers": []}), f"{POD}.containers: Required value"),
    (
        job(pod={"containers": [{"name": "a", "image": "x"}] * 2}),
        f'{POD}.containers[1].name: Duplicate value: "a"',
    ),
    (contained(name=""), f"{MAIN}.name: Required value"),
    (
        contained(name="Main"),
        f'{MAIN}.name: Invalid value: "Main": a lowercase RFC 1123 label must consist of',
    ),
    (contained(name=LONG), f'{MAIN}.name: Invalid value: "{LONG}": must be no more than 63 characters'),
    (contained(image=""), f"{MAIN}.image: Required value"),
    (contained(image=None), f"{MAIN}.image: Required value"),
    (
        contained(imagePullPolicy="Odd"),
        f'{MAIN}.imagePullPolicy: Unsupported value: "Odd": supported values: "Always"',
    ),
    (
        contained(terminationMessagePolicy="Odd"),
        f'{MAIN}.terminationMessagePolicy: Unsupported value: "Odd": supported values: "File"',
    ),
    # Variables
    (env(name=""), f"{MAIN}.env[0].name: Required value"),
    (
        env(name="A=B"),
        f'{MAIN}.env[0].name: Invalid value: "A=B": a valid environment variable name must consist',
    ),
    (env(valueFrom={}), f'{MAIN}.env[0].valueFrom: Invalid value: "": must specify one of: `fieldRef`, '),
    (
        env(value="x", valueFrom={"fieldRef": {"fieldPath": "metadata.name"}}),
        f'{MAIN}.env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty',
    ),
    (
        env(valueFrom={"fieldRef": {"fieldPath": "status.podIP"}, "secretKeyRef": {"name": "s", "key": "k"}}),
        f'{MAIN}.env[0].valueFrom: Invalid value: "": may not have more than one field specified at a time',
    ),
    (
        env(valueFrom={"fieldRef": {"fieldPath": "metadata.odd"}}),
        f'{MAIN}.env[0].valueFrom.fieldRef.fieldPath: Invalid value: "metadata.odd": error converting',
    ),
    (
        env(valueFrom={"secretKeyRef": {"name": "S_", "key": "k"}}),
        f'{MAIN}.env[0].valueFrom.secretKeyRef.name: Invalid value: "S_": {SUBDOMAIN}',
    ),
    (
        env(valueFrom={"secretKeyRef": {"name": "s", "key": ""}}),
        f"{MAIN}.env[0].valueFrom.secretKeyRef.key: Required value",
    ),
    # Volumes and mounts
    (
        contained(volumeMounts=[{"name": "v", "mountPath": "/v"}]),
        f'{MAIN}.volumeMounts[0].name: Not found: "v"',
    ),
    (
        mounted({"mountPath": "/v"}, {"mountPath": "/v"}),
        f'{MAIN}.volumeMounts[1].mountPath: Invalid value: "/v": must be unique',
    ),
    (mounted({"mountPath": ""}), f"{MAIN}.volumeMounts[0].mountPath: Required value"),
    (
        mounted({"mountPath": "/v", "subPath": "../x"}),
        f"{MAIN}.volumeMounts.subPath: Invalid value: \"../x\": must not contain '..'",
    ),
    (
        mounted({"mountPath": "/v", "subPath": "/x"}),
        f'{MAIN}.volumeMounts.subPath: Invalid value: "/x": must be a relative path',
    ),
    (job(pod={"volumes": [VOLUME, VOLUME]}), f'{POD}.volumes[1].name: Duplicate value: "v"'),
    (volume(name="", emptyDir={}), f"{POD}.volumes[0].name: Required value"),
    (
        volume(name="V_", emptyDir={}),
        f'{POD}.volumes[0].name: Invalid value: "V_": a lowercase RFC 1123 label must',
    ),
    (
        volume(emptyDir={}, configMap={"name": "c"}),
        f"{POD}.volumes[0].configMap: Forbidden: may not specify more than 1 volume type",
    ),
    (volume(configMap={}), f"{POD}.volumes[0].configMap.name: Required value"),
    (volume(secret={}), f"{POD}.volumes[0].secret.secretName: Required value"),
    (volume(persistentVolumeClaim={}), f"{POD}.volumes[0].persistentVolumeClaim.claimName: Required value"),
    (
        volume(configMap={"name": "c", "items": [{"key": "a", "path": "../x"}]}),
        f"{POD}.volumes[0].configMap.items[0].path: Invalid value: \"../x\": must not contain '..'",
    ),
    (
        volume(emptyDir={"sizeLimit": "-1"}),
        f"{POD}.volumes[0].emptyDir.sizeLimit: Forbidden: SizeLimit field must be a valid resource quantity",
    ),
    # Resources
    (
        resources(requests={"cpu": "2"}, limits={"cpu": "1"}),
        f'{MAIN}.resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
    ),
    (
        resources(limits={"cpu": "-1"}),
        f'{MAIN}.resources.limits[cpu]: Invalid value: "-1": must be greater than or',
    ),
    (
        resources(requests={"nvidia.com/gpu": 1}),
        f"{MAIN}.resources.limits: Required value: Limit must be set for non overcommitable resources",
    ),
    (
        resources(requests={"nvidia.com/gpu": 1}, limits={"nvidia.com/gpu": 2}),
        f'{MAIN}.resources.requests: Invalid value: "1": must be equal to nvidia.com/gpu limit of 2',
    ),
    (
        resources(limits={"nvidia.com/gpu": "0.5"}),
        f'{MAIN}.resources.limits[nvidia.com/gpu]: Invalid value: "500m": must be an integer',
    ),
    (
        resources(limits={"gpu": 1}),
        f'{MAIN}.resources.limits[gpu]: Invalid value: "gpu": must be a standard resource type or fully',
    ),
    # Ports
    (ports({"containerPort": 0}), f"{MAIN}.ports[0].containerPort: Required value"),
    (
        ports({"containerPort": 65536}),
        f"{MAIN}.ports[0].containerPort: Invalid value: 65536: must be between 1 and",
    ),
    (ports({"containerPort": 80, "name": "x" * 16}), "must be no more than 15 characters"),
    (
        ports({"containerPort": 80, "name": "Web"}),
        "must contain only alpha-numeric characters (a-z, 0-9), and",
    ),
    (
        ports({"containerPort": 80, "name": "web"}, {"containerPort": 81, "name": "web"}),
        f'{MAIN}.ports[1].name: Duplicate value: "web"',
    ),
    (
        ports({"containerPort": 80, "protocol": "ICMP"}),
        f'{MAIN}.ports[0].protocol: Unsupported value: "ICMP"',
    ),
    # Scheduling and identity
    (job(pod={"nodeSelector": {"a b": "x"}}), f'{POD}.nodeSelector: Invalid value: "a b": {NAME}'),
    (
        job(pod={"nodeSelector": {"a": "b c"}}),
        f'{POD}.nodeSelector: Invalid value: "b c": a valid label must be',
    ),
    (tolerated(key="a", operator="Odd"), f'{POD}.tolerations[0].operator: Unsupported value: "Odd"'),
    (
        tolerated(operator="Equal", value="x"),
        f'{POD}.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when `key` is empty',
    ),
    (
        tolerated(key="a", operator="Exists", value="x"),
        f'{POD}.tolerations[0].operator: Invalid value: "x": value must be empty when `operator` is',
    ),
    (
        tolerated(key="a", tolerationSeconds=5),
        f"{POD}.tolerations[0].effect: Invalid value: \"\": effect must be 'NoExecute' when",
    ),
    (tolerated(key="a", effect="Odd"), f'{POD}.tolerations[0].effect: Unsupported value: "Odd"'),
    (tolerated(key="a b"), f'{POD}.tolerations[0].key: Invalid value: "a b": {NAME}'),
    (job(pod={"priorityClassName": "A_"}), f'{POD}.priorityClassName: Invalid value: "A_": {SUBDOMAIN}'),
    (job(pod={"serviceAccountName": "A_"}), f'{POD}.serviceAccountName: Invalid value: "A_": {SUBDOMAIN}'),
    (job(pod={"dnsPolicy": "Odd"}), f'{POD}.dnsPolicy: Unsupported value: "Odd"'),
    (
        job(pod={"securityContext": {"runAsUser": -1}}),
        f"{POD}.securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive",
    ),
    # Nothing at all
    (
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}},
        f"{POD}.containers: Required value",
    ),
]
UNREADABLE: list[tuple[Object, str]] = [
    (contained(commandd=["x"]), f'strict decoding error: unknown field "{MAIN}.commandd"'),
    (job(pod={"nodeSelectorr": {}}), f'strict decoding error: unknown field "{POD}.nodeSelectorr"'),
    (job(parallelismm=1), 'strict decoding error: unknown field "spec.parallelismm"'),
    (
        job(parallelism="2"),
        "cannot unmarshal string into Go struct field JobSpec.spec.parallelism of type int32",
    ),
    (
        job(parallelism=1.5),
        "cannot unmarshal number 1.5 into Go struct field JobSpec.spec.parallelism of type",
    ),
    (job(suspend="yes"), "cannot unmarshal string into Go struct field JobSpec.spec.suspend of type bool"),
    (contained(command="true"), f"Go struct field Container.{POD}.containers.command of type []string"),
    (
        contained(command=[1]),
        f"cannot unmarshal number into Go struct field Container.{POD}.containers.command of",
    ),
    (
        env(value=1),
        f"cannot unmarshal number into Go struct field EnvVar.{POD}.containers.env.value of type string",
    ),
    (job(meta={"annotations": {"a": 1}}), "Go struct field ObjectMeta.metadata.annotations of type string"),
    (
        job(pod={"securityContext": {"runAsUser": "x"}}),
        f"Go struct field PodSecurityContext.{POD}.securityContext.runAsUser of type int64",
    ),
    (resources(requests={"cpu": "lots"}), "quantities must match the regular expression '^([+-]?[0-9.]+)"),
    (resources(limits={"memory": "1GiB"}), "quantities must match the regular expression '^([+-]?[0-9.]+)"),
]
TAKEN: list[Object] = [
    indexed(None),
    indexed(backoffLimitPerIndex=1, maxFailedIndexes=2),
    indexed(MANY + 1, parallelism=10_001),
    indexed(10, name="j" * 61),
    job(name="a.b"),
    job(name="1" * 63),
    policy(codes(0, operator="NotIn")),
    policy(codes(-1)),
    policy(conditions({"type": "A"})),
    job(podFailurePolicy={}),
    job(meta={"labels": {"a": None}}),
    resources(limits={"cpu": 0.5, "memory": "100m", "nvidia.com/gpu": 1}),
    contained(image=" none", terminationMessagePath=""),
    contained(env=[{"name": "1A"}, {"name": "a b", "value": "x"}, {"name": "1A", "value": "y"}]),
    volume(),
    ports({"containerPort": 80}, {"containerPort": 80}),
    tolerated(operator="Exists"),
    job(completions=3, parallelism=5),
]


def post(api: Api, namespace: str, plural: str, body: Object) -> Any:
    root = "/apis/batch/v1" if plural == "jobs" else "/api/v1"
    path = f"{root}/namespaces/{namespace}/{plural}"
    return api("POST", path, body, dryRun="All", fieldValidation="Strict")


@pytest.mark.parametrize(("body", "said"), REFUSED, ids=[said[:70] for _, said in REFUSED])
def test_an_invalid_job_is_refused(api: Api, namespace: str, body: Object, said: str) -> None:
    answer = post(api, namespace, "jobs", body).json()
    assert (answer["code"], answer["reason"]) == (422, "Invalid")
    assert said in answer["message"]


@pytest.mark.parametrize(("body", "said"), UNREADABLE, ids=[said[:70] for _, said in UNREADABLE])
def test_a_job_of_other_types_or_fields_is_not_read(
    api: Api, namespace: str, body: Object, said: str
) -> None:
    answer = post(api, namespace, "jobs", body).json()
    assert (answer["code"], answer["reason"]) == (400, "BadRequest")
    assert answer["message"].startswith('Job in version "v1" cannot be handled as a Job: ')
    assert said in answer["message"]


@pytest.mark.parametrize("number", range(len(TAKEN)))
def test_a_valid_job_is_taken(api: Api, namespace: str, number: int) -> None:
    answer = post(api, namespace, "jobs", TAKEN[number])
    assert answer.status_code == 201, answer.text


CHANGES: list[tuple[Object, str]] = [
    (
        {"completionMode": "NonIndexed"},
        'spec.completionMode: Invalid value: "NonIndexed": field is immutable',
    ),
    (
        {"completions": 3},
        "spec.completions: Invalid value: 3: can only be modified in tandem with spec.parallelism",
    ),
    ({"parallelism": -1}, "spec.parallelism: Invalid value: -1: must be greater than or equal to 0"),
    ({"backoffLimitPerIndex": 2}, "spec.backoffLimitPerIndex: Invalid value: 2: field is immutable"),
    (
        {"maxFailedIndexes": 3},
        "spec.maxFailedIndexes: Invalid value: 3: must be less than or equal to completions",
    ),
    ({"podFailurePolicy": None}, "spec.podFailurePolicy: Invalid value: null: field is immutable"),
    ({"selector": {"matchLabels": {"a": "b"}}}, "field is immutable"),
]
FREE: list[Object] = [
    {"parallelism": 3},
    {"backoffLimit": 3},
    {"maxFailedIndexes": 2},
    {"suspend": False},
]
SCHEDULING: list[Object] = [
    {"metadata": {"labels": {"new": "x"}}},
    {"spec": {"nodeSelector": {"a": "b"}}},
    {"spec": {"tolerations": [{"key": "a", "operator": "Exists"}]}},
    {
        "spec": {
            "containers": [
                {"name": "main", "image": "none", "command": ["true"], "resources": {"limits": {"cpu": "1"}}}
            ]
        }
    },
]
FIXED: list[Object] = [
    {"spec": {"priorityClassName": "x"}},
    {"spec": {"terminationGracePeriodSeconds": 3}},
    {"spec": {"volumes": []}},
    {"spec": {"containers": [{"name": "main", "image": "other", "command": ["true"]}]}},
]


def change(api: Api, namespace: str, spec: Object, *, suspended: bool) -> Any:
    """Make a Job without pods, and try to change it."""
    body = policy(
        codes(1),
        completionMode="Indexed",
        completions=2,
        parallelism=0,
        backoffLimitPerIndex=1,
        suspend=suspended,
        pod={"volumes": [VOLUME]},
    )
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    assert api("POST", path, body).status_code in (201, 409)
    return api("PATCH", f"{path}/j", {"spec": spec}, "application/merge-patch+json", dryRun="All")


@pytest.mark.parametrize(("spec", "said"), CHANGES, ids=[next(iter(spec)) for spec, _ in CHANGES])
def test_immutable_fields_may_not_change(api: Api, namespace: str, spec: Object, said: str) -> None:
    answer = change(api, namespace, spec, suspended=False).json()
    assert answer["code"] == 422
    assert said in answer["message"]


@pytest.mark.parametrize("spec", FREE, ids=[next(iter(spec)) for spec in FREE])
def test_mutable_fields_may_change(api: Api, namespace: str, spec: Object) -> None:
    assert change(api, namespace, spec, suspended=True).status_code == 200


@pytest.mark.parametrize("number", range(len(SCHEDULING) + len(FIXED)))
def test_a_template_changes_only_while_suspended_and_in_where_it_runs(
    api: Api, namespace: str, number: int
) -> None:
    changed = [*SCHEDULING, *FIXED][number]
    suspended = change(api, namespace, {"template": changed}, suspended=True)
    if number < len(SCHEDULING):
        assert suspended.status_code == 200
    else:
        assert "spec.template.spec: Invalid value: " in suspended.json()["message"]
        assert suspended.json()["message"].endswith(": field is immutable")


@pytest.mark.parametrize("number", range(len(SCHEDULING) + len(FIXED)))
def test_the_template_of_a_running_job_is_fixed(api: Api, namespace: str, number: int) -> None:
    changed = [*SCHEDULING, *FIXED][number]
    message = change(api, namespace, {"template": changed}, suspended=False).json()["message"]
    assert "spec.template: Invalid value: " in message
    assert message.endswith(": field is immutable")


def config_map(**found: Any) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, **found}


def pod(container: Object | None = None, **spec: Any) -> Object:
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}
    return {**body, "spec": template(container or {}, spec)}


def claim(**spec: Any) -> Object:
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **spec}
    body = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c"}}
    return {**body, "spec": wanted}


SMALL: list[tuple[str, Object, int, str]] = [
    (
        "configmaps",
        config_map(data={"a b": "x"}),
        422,
        'data[a b]: Invalid value: "a b": a valid config key must',
    ),
    ("configmaps", config_map(data={"..": "x"}), 422, "data[..]: Invalid value: \"..\": must not be '..'"),
    (
        "configmaps",
        config_map(data={"a": "x"}, binaryData={"a": "eA=="}),
        422,
        'data[a]: Invalid value: "a": duplicate of key present in binaryData',
    ),
    (
        "configmaps",
        config_map(data={"a": "x" * (1 << 20) + "y"}),
        422,
        "Too long: may not be more than 1048576",
    ),
    (
        "configmaps",
        config_map(data={"a": 1}),
        400,
        "cannot unmarshal number into Go struct field ConfigMap.data of",
    ),
    ("configmaps", config_map(dat={}), 400, 'strict decoding error: unknown field "dat"'),
    ("configmaps", config_map(binaryData={"a": "?"}), 400, "illegal base64 data at input byte 0"),
    (
        "pods",
        pod(restartPolicy="Odd"),
        422,
        'spec.restartPolicy: Unsupported value: "Odd": supported values: "Always"',
    ),
    ("pods", pod({"image": ""}), 422, "spec.containers[0].image: Required value"),
    ("pods", pod(hostname="A_"), 422, 'spec.hostname: Invalid value: "A_": a lowercase RFC 1123 label must'),
    (
        "persistentvolumeclaims",
        claim(accessModes=[]),
        422,
        "spec.accessModes: Required value: at least 1 access mode",
    ),
    (
        "persistentvolumeclaims",
        claim(accessModes=["Odd"]),
        422,
        'spec.accessModes: Unsupported value: "Odd": supported',
    ),
    ("persistentvolumeclaims", claim(resources={}), 422, "spec.resources[storage]: Required value"),
    (
        "persistentvolumeclaims",
        claim(resources={"requests": {"storage": "0"}}),
        422,
        'spec.resources[storage]: Invalid value: "0": must be greater than zero',
    ),
]


@pytest.mark.parametrize(("plural", "body", "code", "said"), SMALL, ids=[row[3][:60] for row in SMALL])
def test_other_kinds_are_checked_too(
    api: Api, namespace: str, plural: str, body: Object, code: int, said: str
) -> None:
    answer = post(api, namespace, plural, body).json()
    assert answer["code"] == code
    assert said in answer["message"]
