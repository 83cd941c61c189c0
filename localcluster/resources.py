"""Which kinds exist: the built-in ones, and those that CustomResourceDefinitions add."""

from dataclasses import dataclass, field
from typing import Any

from localcluster.errors import Object
from localcluster.store import Store, Table

VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
CRDS = ("apiextensions.k8s.io", "customresourcedefinitions")


@dataclass(frozen=True)
class Resource:
    """One kind in one version. `verbs` is shorter for reviews, which are asked and never stored."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    short: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    selectable: tuple[str, ...] = ()
    verbs: list[str] = field(default_factory=lambda: VERBS)
    custom: Object = field(default_factory=dict)
    """For a custom resource its entry of the CRD's `versions`, with `names` added; empty for built-in kinds."""

    @property
    def table(self) -> Table:
        return self.group, self.plural

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def schema(self) -> Object:
        return dict(self.custom.get("schema", {}).get("openAPIV3Schema", {}))

    @property
    def scale_paths(self) -> Object:
        return dict((self.custom.get("subresources") or {}).get("scale") or {})


_RBAC, _AUTH = "rbac.authorization.k8s.io", "authorization.k8s.io"
_EVENT_FIELDS = tuple(f"involvedObject.{key}" for key in ("kind", "namespace", "name", "uid", "apiVersion",
                                                          "resourceVersion", "fieldPath"))
_POD_FIELDS = ("spec.nodeName", "spec.restartPolicy", "spec.serviceAccountName", "status.phase", "status.podIP")
_ASK: Any = {"namespaced": False, "verbs": ["create"]}
BUILTIN = [
    Resource("", "v1", "namespaces", "Namespace", False, ("ns",), ("status", "finalize"), ("status.phase",)),
    Resource("", "v1", "nodes", "Node", False, ("no",), ("status",)),
    Resource("", "v1", "pods", "Pod", True, ("po",), ("status", "log", "binding", "eviction"), _POD_FIELDS),
    Resource("", "v1", "configmaps", "ConfigMap", True, ("cm",)),
    Resource("", "v1", "secrets", "Secret", selectable=("type",)),
    Resource("", "v1", "serviceaccounts", "ServiceAccount", True, ("sa",), ("token",)),
    Resource("", "v1", "events", "Event", True, ("ev",), (), (*_EVENT_FIELDS, "reason", "type", "source")),
    Resource("batch", "v1", "jobs", "Job", True, (), ("status",), ("status.successful",)),
    Resource("coordination.k8s.io", "v1", "leases", "Lease"),
    Resource(_RBAC, "v1", "roles", "Role"),
    Resource(_RBAC, "v1", "rolebindings", "RoleBinding"),
    Resource(_RBAC, "v1", "clusterroles", "ClusterRole", False),
    Resource(_RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", False),
    Resource(*CRDS[:1], "v1", CRDS[1], "CustomResourceDefinition", False, ("crd", "crds"), ("status",)),
    Resource(_AUTH, "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", **_ASK),
    Resource(_AUTH, "v1", "subjectaccessreviews", "SubjectAccessReview", **_ASK),
    Resource("authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview", **_ASK),
]


def of_crd(crd: Object) -> list[Resource]:
    """The served versions of a CustomResourceDefinition."""
    spec, names = crd["spec"], crd["spec"]["names"]
    return [Resource(
        spec["group"], version["name"], names["plural"], names["kind"], spec["scope"] == "Namespaced",
        tuple(names.get("shortNames", ())), tuple(version.get("subresources") or {}),
        tuple(one["jsonPath"].lstrip(".") for one in version.get("selectableFields", ())),
        custom={**version, "names": names},
    ) for version in spec["versions"] if version.get("served")]


class Registry:
    """The kinds of this moment; reads the CRDs anew whenever one changed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._crds: list[Object] = []
        self._resources = BUILTIN

    def all(self) -> list[Resource]:
        crds = self._store.rows(CRDS)
        if [id(crd) for crd in crds] != [id(crd) for crd in self._crds]:
            self._crds = crds
            self._resources = BUILTIN + [resource for crd in crds for resource in of_crd(crd)]
        return self._resources

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        wanted = (group, version, plural)
        return next((one for one in self.all() if (one.group, one.version, one.plural) == wanted), None)
