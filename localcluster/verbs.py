"""The verbs: create, update, delete and list, on any kind, as one atomic step each (nothing here awaits)."""

import copy
import secrets
import uuid
from dataclasses import dataclass, field, replace
from datetime import timedelta

from localcluster.admission import admit, check, check_name, unsupported
from localcluster.clock import now, stamp
from localcluster.decoding import decode
from localcluster.errors import NAMESPACE_TERMINATING, ApiError, Cause, Object, invalid
from localcluster.resources import CRDS, Resource
from localcluster.schema import apply_defaults, prune, validate
from localcluster.selectors import Predicate
from localcluster.store import Store

SYSTEM_META = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "namespace",
)
STALE = "the object has been modified; please apply your changes to the latest version and try again"
_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"


@dataclass(frozen=True)
class Target:
    """The target of a request. `warnings` collects warnings for the client."""

    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    validation: str = ""
    dry_run: bool = False
    warnings: list[str] = field(default_factory=list)

    def error(self, code: int, text: str, reason: str = "") -> ApiError:
        """A failure that names the object."""
        details = {"name": self.name, "group": self.resource.group, "kind": self.resource.plural}
        return ApiError(code, f'{self.resource.qualified} "{self.name}" {text}', reason, details)

    def conflict(self, why: str) -> ApiError:
        """409 for a lost race or a failed precondition."""
        failure = self.error(409, "")
        failure.message = f"Operation cannot be fulfilled on {failure.message.strip()}: {why}"
        return failure


class Verbs:
    """Every change of the store passes here."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pages: dict[str, tuple[int, list[Object]]] = {}

    def get(self, target: Target) -> Object:
        """Raises 404."""
        obj = self._store.get(target.resource.table, target.namespace, target.name)
        if obj is None:
            raise target.error(404, "not found")
        return {**obj, "apiVersion": target.resource.api_version}

    def page(
        self, target: Target, selects: Predicate, limit: int = 0, token: str = ""
    ) -> tuple[Object, list[Object]]:
        """List metadata and a page of items; the pages of one list show the moment at which it began."""
        resource, version = target.resource, self._store.version
        if not token:
            found = filter(selects, self._store.rows(resource.table, target.namespace))
            rows = [{**one, "apiVersion": resource.api_version, "kind": resource.kind} for one in found]
        elif token in self._pages:
            version, rows = self._pages.pop(token)
        else:
            raise ApiError(
                410, "The provided continue parameter is too old to display a consistent list result."
            )
        metadata: Object = {"resourceVersion": str(version)}
        if limit and len(rows) > limit:
            metadata |= {"continue": secrets.token_urlsafe(9), "remainingItemCount": len(rows) - limit}
            self._pages[metadata["continue"]] = version, rows[limit:]
            for stale in list(self._pages)[:-100]:
                del self._pages[stale]
        return metadata, rows[: limit or None]

    def create(self, target: Target, body: Object) -> Object:
        """Raises 409 when the name is taken, 422 when the object is invalid."""
        resource, new = target.resource, copy.deepcopy(body)
        _check_body(target, new)
        meta = new["metadata"]
        if not meta.get("name"):
            if not meta.get("generateName"):
                raise ApiError(422, f"{resource.kind}: metadata.name: name or generateName is required")
            meta["name"] = meta["generateName"] + "".join(secrets.choice(_SUFFIX) for _ in range(5))
        check_name(resource, meta["name"])
        target = replace(target, name=meta["name"])
        for key in (*SYSTEM_META, "resourceVersion", "managedFields"):
            meta.pop(key, None)
        if resource.namespaced:
            meta["namespace"] = target.namespace
            self._check_namespace(target)
        if self._store.get(resource.table, target.namespace, target.name):
            raise target.error(409, "already exists", "AlreadyExists")
        meta |= {"uid": str(uuid.uuid4()), "creationTimestamp": stamp()}
        if resource.custom or "spec" in new:
            meta["generation"] = 1
        if "status" in resource.subresources:
            new.pop("status", None)
        self._settle(target, new, None)
        if target.dry_run:
            return new
        if resource.plural == "namespaces":
            account = {
                "name": "default",
                "namespace": target.name,
                "uid": str(uuid.uuid4()),
                "creationTimestamp": stamp(),
            }
            body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account}
            self._store.put(("", "serviceaccounts"), body)
        return self._store.put(resource.table, new)

    def update(self, target: Target, body: Object) -> Object:
        """Replace an object, or its status when that is the subresource. Raises 404, 409 and 422."""
        resource, new, old = target.resource, copy.deepcopy(body), self.get(target)
        _check_body(target, new)
        meta, was = new["metadata"], old["metadata"]
        if meta.get("resourceVersion") not in (None, "", was["resourceVersion"]):
            raise target.conflict(STALE)
        causes = []
        if meta.get("uid") not in (None, "", was["uid"]):
            text = f'Invalid value: "{meta["uid"]}": field is immutable'
            causes.append(Cause("metadata.uid", "FieldValueInvalid", text))
        if resource.custom and not meta.get("resourceVersion"):
            text = "Invalid value: 0: must be specified for an update"
            causes.append(Cause("metadata.resourceVersion", "FieldValueInvalid", text))
        if causes:
            raise invalid(resource.group, resource.kind, target.name, causes)
        if target.subresource == "status":
            kept = copy.deepcopy(old)
            new = {
                **kept,
                "metadata": kept["metadata"] if resource.custom else meta,
                "status": new.get("status", {}),
            }
            meta = new["metadata"]
        elif "status" in resource.subresources:
            new.pop("status", None)
            new |= {"status": copy.deepcopy(old["status"])} if "status" in old else {}
        meta.pop("managedFields", None)
        meta |= {key: was[key] for key in ("name", "resourceVersion", *SYSTEM_META) if key in was}
        added = set(meta.get("finalizers") or ()) - set(was.get("finalizers") or ())
        if was.get("deletionTimestamp") and added:
            text = "Forbidden: no new finalizers can be added if the object is being deleted, found "
            cause = Cause("metadata.finalizers", "FieldValueForbidden", f"{text}{sorted(added)}")
            raise invalid(resource.group, resource.kind, target.name, [cause])
        self._settle(target, new, old)
        ignored = {"metadata", "status"} if "status" in resource.subresources else {"metadata"}
        if "generation" in was and any(new.get(key) != old.get(key) for key in {*new, *old} - ignored):
            meta["generation"] = was["generation"] + 1
        if target.dry_run or new == old:
            return new
        if (
            was.get("deletionTimestamp")
            and not _held(resource, new)
            and not was.get("deletionGracePeriodSeconds")
        ):
            return self._store.remove(resource.table, new)
        return self._store.put(resource.table, new)

    def delete(self, target: Target, options: Object) -> tuple[Object, bool]:
        """Delete, or begin to; says whether the object is gone. Raises 409 for a failed precondition."""
        obj, resource = copy.deepcopy(self.get(target)), target.resource
        meta = obj["metadata"]
        for key, value in (options.get("preconditions") or {}).items():
            if value != meta[key]:
                raise target.conflict(
                    f"Precondition failed: {key} in precondition: {value}, in object: {meta[key]}"
                )
        policy = options.get("propagationPolicy") or ("Orphan" if resource.plural == "jobs" else "Background")
        if policy != "Background":
            text = (
                f"localcluster has no deletion with propagationPolicy {policy}, which is the default for Jobs"
            )
            raise ApiError(501, f"{text if policy == 'Orphan' else text.partition(',')[0]}: use Background")
        grace = 0
        if resource.plural == "pods" and obj["status"].get("phase") not in ("Succeeded", "Failed"):
            asked = options.get("gracePeriodSeconds")
            usual = obj["spec"]["terminationGracePeriodSeconds"]
            grace = (usual if asked is None else asked) if obj["spec"].get("nodeName") else 0
        if resource.plural == "namespaces":
            obj["status"] = {**obj["status"], "phase": "Terminating"}
        if not grace and not _held(resource, obj):
            return (obj if target.dry_run else self._remove(resource, obj)), True
        if not meta.get("deletionTimestamp") or grace < meta.get("deletionGracePeriodSeconds", 0):
            meta |= {
                "deletionTimestamp": stamp(now() + timedelta(seconds=grace)),
                "deletionGracePeriodSeconds": grace,
            }
        if target.dry_run or obj == self.get(target):
            return obj, False
        return self._store.put(resource.table, obj), False

    def _remove(self, resource: Resource, obj: Object) -> Object:
        if resource.table == CRDS:
            instances = (obj["spec"]["group"], obj["spec"]["names"]["plural"])
            for one in self._store.rows(instances):
                self._store.remove(instances, one)
        return self._store.remove(resource.table, obj)

    def _check_namespace(self, target: Target) -> None:
        namespace = self._store.get(("", "namespaces"), "", target.namespace)
        if namespace is None:
            raise ApiError(404, f'namespaces "{target.namespace}" not found')
        if namespace["metadata"].get("deletionTimestamp"):
            name = target.namespace
            why = f"unable to create new content in namespace {name} because it is being terminated"
            refused = target.error(403, f"is forbidden: {why}")
            cause = Cause(
                "metadata.namespace", NAMESPACE_TERMINATING, f"namespace {name} is being terminated"
            )
            refused.details["causes"] = [cause._asdict()]
            raise refused

    def _settle(self, target: Target, new: Object, old: Object | None) -> None:
        """Prune, default and validate in place."""
        resource, schema = target.resource, target.resource.schema
        unknown = prune(schema, new) if resource.custom else decode(resource, new)
        if unknown and target.validation == "Strict":
            listed = ", ".join(f'unknown field "{path}"' for path in unknown)
            text = f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}'
            raise ApiError(400, f"{text}: strict decoding error: {listed}")
        if target.validation == "Warn":
            target.warnings.extend(f'unknown field "{path}"' for path in unknown)
        causes = [] if resource.custom else admit(resource, new, old)
        apply_defaults(schema, new)
        causes += validate(schema, new, old) + check(resource, new, old)
        if causes:
            raise invalid(resource.group, resource.kind, new["metadata"]["name"], causes)
        if text := unsupported(resource, new, old):
            raise ApiError(501, text)


def _held(resource: Resource, obj: Object) -> bool:
    """Whether something still has to finish before the object can be removed."""
    spec_too = resource.plural == "namespaces" and obj["spec"].get("finalizers")
    return bool(obj["metadata"].get("finalizers") or spec_too)


def _check_body(target: Target, body: Object) -> None:
    """Raises 400 when the body is for another place than the URL."""
    resource, version, kind = target.resource, body.get("apiVersion"), body.get("kind")
    if version != resource.api_version:
        text = f"the API version in the data ({version}) does not match the expected API version"
        raise ApiError(400, f"{text} ({resource.api_version})")
    if kind != resource.kind:
        cause = Cause("kind", "FieldValueInvalid", f'Invalid value: "{kind}": must be {resource.kind}')
        raise invalid(resource.group, str(kind), target.name, [cause])
    meta = body.setdefault("metadata", {})
    if resource.namespaced and meta.get("namespace", target.namespace) != target.namespace:
        raise ApiError(
            400, "the namespace of the provided object does not match the namespace sent on the request"
        )
    if target.name and meta.get("name", target.name) != target.name:
        text = f"the name of the object ({meta['name']}) does not match the name on the URL ({target.name})"
        raise ApiError(400, text)
