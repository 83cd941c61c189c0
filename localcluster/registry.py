"""The verbs: create, update, patch, delete and list, on any kind, as one atomic step each (nothing here awaits)."""

import base64
import copy
import json
import secrets
import string
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from localcluster.admission import admit, check_name
from localcluster.clock import now, stamp
from localcluster.errors import ApiError, Object, invalid
from localcluster.resources import CRDS, Resource
from localcluster.schema import apply_defaults, prune, validate_object
from localcluster.store import Store
from localcluster.tables import json_path

SYSTEM_META = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "namespace")
_SUFFIX = string.ascii_lowercase + string.digits


@dataclass(frozen=True)
class Target:
    """What a request is about; `strictness` is its fieldValidation."""

    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    strictness: str = ""
    dry_run: bool = False

    @property
    def details(self) -> Object:
        return {"name": self.name, "group": self.resource.group, "kind": self.resource.plural}

    def not_found(self) -> ApiError:
        return ApiError(404, f'{self.resource.qualified} "{self.name}" not found', details=self.details)

    def conflict(self, why: str) -> ApiError:
        return ApiError(409, f'Operation cannot be fulfilled on {self.resource.qualified} "{self.name}": {why}',
                        details=self.details)


class Verbs:
    """Every change of the store passes here. `warn` receives sentences for the client's Warning headers."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pages: dict[str, tuple[int, list[Object]]] = {}

    def get(self, target: Target) -> Object:
        obj = self._store.get(target.resource.table, target.namespace, target.name)
        if obj is None:
            raise target.not_found()
        return {**obj, "apiVersion": target.resource.api_version}

    def page(self, target: Target, selects: Callable[[Object], bool], limit: int, token: str) -> tuple[
            Object, list[Object]]:
        """List metadata and a page of items; the pages of one list show the moment at which it began."""
        if token:
            if token not in self._pages:
                raise ApiError(410, "The provided continue parameter is too old to display a consistent list result.")
            version, rows = self._pages.pop(token)
        else:
            version = self._store.version
            rows = [{**one, "apiVersion": target.resource.api_version, "kind": target.resource.kind}
                    for one in self._store.rows(target.resource.table, target.namespace) if selects(one)]
        metadata: Object = {"resourceVersion": str(version)}
        if limit and len(rows) > limit:
            metadata |= {"continue": secrets.token_urlsafe(9), "remainingItemCount": len(rows) - limit}
            self._pages[metadata["continue"]] = version, rows[limit:]
            for stale in list(self._pages)[:-100]:
                del self._pages[stale]
        return metadata, rows[:limit or None]

    def create(self, target: Target, body: Object, warn: Callable[[str], None]) -> Object:
        resource, new = target.resource, copy.deepcopy(body)
        meta = new.setdefault("metadata", {})
        _check_body(target, new)
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = meta["generateName"] + "".join(secrets.choice(_SUFFIX) for _ in range(5))
        if not meta.get("name"):
            raise ApiError(422, f'{resource.kind} "" is invalid: metadata.name: Required value: name or generateName '
                                "is required")
        check_name(resource, meta["name"])
        for key in (*SYSTEM_META, "resourceVersion", "managedFields", "selfLink"):
            meta.pop(key, None)
        if resource.namespaced:
            meta["namespace"] = target.namespace
            self._check_namespace(target, meta["name"])
        if self._store.get(resource.table, target.namespace, meta["name"]):
            raise ApiError(409, f'{resource.qualified} "{meta["name"]}" already exists', "AlreadyExists",
                           {**target.details, "name": meta["name"]})
        meta |= {"uid": str(uuid.uuid4()), "creationTimestamp": stamp()}
        if resource.custom or "spec" in new:
            meta["generation"] = 1
        if "status" in resource.subresources and resource.custom:
            new.pop("status", None)
        self._settle(target, new, None, warn)
        if target.dry_run:
            return new
        stored = self._store.put(resource.table, new)
        if resource.plural == "namespaces":
            self._store.put(("", "serviceaccounts"), {
                "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {
                    "name": "default", "namespace": meta["name"], "uid": str(uuid.uuid4()),
                    "creationTimestamp": stamp()}})
        return stored

    def update(self, target: Target, body: Object, warn: Callable[[str], None]) -> Object:
        """Replace an object, or its status when that is the subresource."""
        resource, new, old = target.resource, copy.deepcopy(body), self.get(target)
        meta, was = new.setdefault("metadata", {}), old["metadata"]
        _check_body(target, new)
        if meta.get("name", target.name) != target.name:
            raise ApiError(400, f"the name of the object ({meta['name']}) does not match the name on the URL "
                                f"({target.name})")
        if meta.get("uid", was["uid"]) != was["uid"]:
            raise target.conflict(f"Precondition failed: UID in precondition: {meta['uid']}, UID in object meta: "
                                  f"{was['uid']}")
        if meta.get("resourceVersion") not in (None, "", was["resourceVersion"]):
            raise target.conflict("the object has been modified; please apply your changes to the latest version and "
                                  "try again")
        if target.subresource == "status":
            keep = was if resource.custom else {**meta}
            new = {**copy.deepcopy(old), "metadata": copy.deepcopy(keep), "status": new.get("status", {})}
            meta = new["metadata"]
        elif "status" in resource.subresources and target.subresource != "finalize":
            new.pop("status", None)
            new |= {"status": copy.deepcopy(old["status"])} if "status" in old else {}
        meta.pop("managedFields", None)
        meta |= {key: was[key] for key in ("name", "resourceVersion", *SYSTEM_META) if key in was}
        if was.get("deletionTimestamp") and set(meta.get("finalizers") or ()) - set(was.get("finalizers") or ()):
            raise invalid(resource.group, resource.kind, target.name, [])
        self._settle(target, new, old, warn)
        ignored = {"metadata", "status"} if "status" in resource.subresources else {"metadata"}
        if "generation" in was and any(new.get(key) != old.get(key) for key in {*new, *old} - ignored):
            meta["generation"] = was["generation"] + 1
        if target.dry_run or new == old:
            return new
        spec_finalizers = resource.plural == "namespaces" and new["spec"].get("finalizers")
        grace = was.get("deletionGracePeriodSeconds") or 0
        if was.get("deletionTimestamp") and not meta.get("finalizers") and not grace and not spec_finalizers:
            return self._store.remove(resource.table, new)
        return self._store.put(resource.table, new)

    def delete(self, target: Target, options: Object) -> tuple[Object, bool]:
        """Delete or begin to delete; says whether the object is gone at once. Raises 409 for a failed precondition."""
        obj, resource = copy.deepcopy(self.get(target)), target.resource
        meta = obj["metadata"]
        for key, value in (options.get("preconditions") or {}).items():
            if value != meta[key]:
                raise target.conflict(f"Precondition failed: {key} in precondition: {value}, in object meta: {meta[key]}")
        orphan_jobs = "Orphan" if resource.plural == "jobs" else "Background"
        policy = options.get("propagationPolicy") or ("Orphan" if options.get("orphanDependents") else orphan_jobs)
        marker = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}.get(policy)
        if marker and marker not in meta.get("finalizers", ()) and resource.plural != "namespaces":
            meta["finalizers"] = [*meta.get("finalizers", ()), marker]
        grace = 0
        if resource.plural == "pods" and obj["status"].get("phase") not in ("Succeeded", "Failed"):
            asked = options.get("gracePeriodSeconds")
            grace = obj["spec"]["terminationGracePeriodSeconds"] if asked is None else asked
            grace = grace if obj["spec"].get("nodeName") else 0
        if resource.plural == "namespaces":
            obj["status"] = {**obj.get("status", {}), "phase": "Terminating"}
        waits = grace or meta.get("finalizers") or (resource.plural == "namespaces" and obj["spec"].get("finalizers"))
        if not waits:
            return (obj if target.dry_run else self._remove(resource, obj)), True
        sooner = grace < meta.get("deletionGracePeriodSeconds", 0)
        if not meta.get("deletionTimestamp") or sooner:
            meta |= {"deletionTimestamp": stamp(now() + timedelta(seconds=grace)), "deletionGracePeriodSeconds": grace}
        before = self.get(target)
        return (obj if target.dry_run or obj == before else self._store.put(resource.table, obj)), False

    def _remove(self, resource: Resource, obj: Object) -> Object:
        if resource.table == CRDS:
            instances = (obj["spec"]["group"], obj["spec"]["names"]["plural"])
            for one in self._store.rows(instances):
                self._store.remove(instances, one)
        return self._store.remove(resource.table, obj)

    def _check_namespace(self, target: Target, name: str) -> None:
        namespace = self._store.get(("", "namespaces"), "", target.namespace)
        if namespace is None:
            raise ApiError(404, f'namespaces "{target.namespace}" not found',
                           details={"name": target.namespace, "kind": "namespaces"})
        if namespace["metadata"].get("deletionTimestamp"):
            raise ApiError(403, f'{target.resource.qualified} "{name}" is forbidden: unable to create new content in '
                                f"namespace {target.namespace} because it is being terminated", details=target.details)

    def _settle(self, target: Target, new: Object, old: Object | None, warn: Callable[[str], None]) -> None:
        """Prune, default and validate in place."""
        resource, schema = target.resource, target.resource.schema
        if not resource.custom:
            return admit(resource, new, old)
        unknown = prune(schema, new)
        if unknown and target.strictness == "Strict":
            listed = ", ".join(f'unknown field "{path}"' for path in unknown)
            raise ApiError(400, f'{resource.kind} in version "{resource.version}" cannot be handled as a '
                                f"{resource.kind}: strict decoding error: {listed}")
        for path in unknown if target.strictness == "Warn" else ():
            warn(f'unknown field "{path}"')
        apply_defaults(schema, new)
        causes = validate_object(schema, new, old)
        if causes:
            raise invalid(resource.group, resource.kind, new["metadata"]["name"], causes)


def _check_body(target: Target, body: Object) -> None:
    wanted, given = target.resource, (body.get("apiVersion"), body.get("kind"))
    if given != (wanted.api_version, wanted.kind):
        raise ApiError(400, f"the API version and kind in the data ({given[0]}, {given[1]}) do not match the expected "
                            f"({wanted.api_version}, {wanted.kind})")
    namespace = body["metadata"].get("namespace")
    if namespace and wanted.namespaced and namespace != target.namespace:
        raise ApiError(400, "the namespace of the provided object does not match the namespace sent on the request")


def scale_of(resource: Resource, obj: Object) -> Object:
    """The autoscaling/v1 Scale that a custom resource presents."""
    paths, meta = resource.scale_paths, obj["metadata"]

    def read(key: str, default: Any) -> Any:
        return next(iter(json_path(obj, paths[key])), default) if key in paths else default

    return {"kind": "Scale", "apiVersion": "autoscaling/v1",
            "metadata": {key: meta[key] for key in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
                         if key in meta},
            "spec": {"replicas": read("specReplicasPath", 0)},
            "status": {"replicas": read("statusReplicasPath", 0), "selector": read("labelSelectorPath", "")}}


def selector(labels: str, fields: str, resource: Resource) -> Callable[[Object], bool]:
    """A predicate from labelSelector and fieldSelector. Raises 400 for a field that the kind cannot be selected by."""
    wanted = [_label_term(term) for term in _split_terms(labels)]
    for term in filter(None, fields.split(",")):
        path, operator, value = _split_operator(term)
        if path not in ("metadata.name", "metadata.namespace", *resource.selectable):
            raise ApiError(400, f"field label not supported: {path}")
        wanted.append(lambda obj, path=path, value=value, equal=operator != "!=": (  # type: ignore[misc]
            str(next(iter(json_path(obj, "." + path)), "")) == value) is equal)
    return lambda obj: all(term(obj) for term in wanted)


def _split_terms(text: str) -> list[str]:
    import re

    return [term.strip() for term in re.split(r",(?![^(]*\))", text) if term.strip()]


def _split_operator(term: str) -> tuple[str, str, str]:
    for operator in ("!=", "==", "="):
        key, found, value = term.partition(operator)
        if found:
            return key.strip(), operator, value.strip()
    raise ApiError(400, f"invalid selector: {term!r}")


def _label_term(term: str) -> Callable[[Object], bool]:
    def labels(obj: Object) -> Object:
        return obj["metadata"].get("labels") or {}

    key, _, rest = term.partition(" ")
    operator, _, listed = rest.strip().partition("(")
    if listed and operator.strip() in ("in", "notin"):
        values = {value.strip() for value in listed.rstrip(") ").split(",")}
        inside = operator.strip() == "in"
        return lambda obj: (labels(obj).get(key) in values) is inside
    if "=" not in term:
        return lambda obj: (term.lstrip("!") in labels(obj)) is not term.startswith("!")
    key, operator, value = _split_operator(term)
    return lambda obj: (labels(obj).get(key) == value) is (operator != "!=")
