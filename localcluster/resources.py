"""Which kinds exist: the built-in ones (kinds.yaml), and those that CustomResourceDefinitions add."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from localcluster.errors import Object
from localcluster.store import Store, Table

CRDS = ("apiextensions.k8s.io", "customresourcedefinitions")


@dataclass(frozen=True)
class Resource:
    """One kind in one version, built-in or from a CRD."""

    version: str
    plural: str
    kind: str
    group: str = ""
    namespaced: bool = True
    singular: str = ""
    short: list[str] = field(default_factory=list)
    categories: list[str] = field(default_factory=list)
    subresources: list[str] = field(default_factory=list)
    selectable: list[str] = field(default_factory=list)
    columns: list[list[Any]] = field(default_factory=list)
    """Name, JSONPath, type, and a priority (above 0: only for `-o wide`)."""
    schema: Object = field(default_factory=dict)
    scale: Object = field(default_factory=dict)
    custom: bool = False
    unnamed: bool = False
    """Its names need not be DNS names."""

    @property
    def table(self) -> Table:
        """Where its objects are stored."""
        return self.group, self.plural

    @property
    def api_version(self) -> str:
        """Group and version as objects carry them."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """Plural and group as error messages carry them."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


_DATA: Object = yaml.safe_load(Path(__file__).with_name("kinds.yaml").read_text())
BUILTIN = [Resource(**{"singular": kind["kind"].lower(), **kind}) for kind in _DATA["kinds"]]
OBJECTS: list[Object] = _DATA["objects"]


def of_crd(crd: Object) -> list[Resource]:
    """The served versions of a CustomResourceDefinition."""
    spec, names = crd["spec"], crd["spec"]["names"]
    default = [{"name": "Age", "jsonPath": ".metadata.creationTimestamp", "type": "date"}]
    return [
        Resource(
            group=spec["group"],
            version=version["name"],
            plural=names["plural"],
            kind=names["kind"],
            namespaced=spec["scope"] == "Namespaced",
            singular=names["singular"],
            short=names.get("shortNames", []),
            categories=names.get("categories", []),
            subresources=list(version.get("subresources") or ()),
            selectable=[one["jsonPath"].lstrip(".") for one in version.get("selectableFields", ())],
            columns=[
                [one["name"], one["jsonPath"], one["type"], one.get("priority", 0)]
                for one in version.get("additionalPrinterColumns") or default
            ],
            schema=version["schema"]["openAPIV3Schema"],
            scale=(version.get("subresources") or {}).get("scale") or {},
            custom=True,
        )
        for version in spec["versions"]
        if version.get("served")
    ]


class Registry:
    """The current kinds. CRDs are read again whenever one has changed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._crds: list[Object] = []
        self._resources = BUILTIN

    def all(self) -> list[Resource]:
        """Built-in kinds first."""
        crds = self._store.rows(CRDS)
        if [id(crd) for crd in crds] != [id(crd) for crd in self._crds]:
            self._crds = crds
            self._resources = BUILTIN + [resource for crd in crds for resource in of_crd(crd)]
        return self._resources

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """None if there is no such kind at the moment."""
        wanted = (group, version, plural)
        return next((one for one in self.all() if (one.group, one.version, one.plural) == wanted), None)
