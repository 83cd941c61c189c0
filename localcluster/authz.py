"""Authentication by bearer tokens, and authorization by RBAC rules and bindings."""

import secrets
import time
from typing import NamedTuple

from localcluster.errors import ApiError, Object
from localcluster.store import Store

RBAC = "rbac.authorization.k8s.io"


class User(NamedTuple):
    """A name and the groups it is in."""

    name: str
    groups: tuple[str, ...]


class Request(NamedTuple):
    """What a rule is matched against. `path` is set for requests that are for no resource."""

    verb: str
    group: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


class Authority:
    """The tokens of the admin and of service accounts. They are random and end with the process."""

    def __init__(self, store: Store) -> None:
        self.admin_token = secrets.token_urlsafe(24)
        self._issued: dict[str, tuple[Object, float]] = {}
        self._store = store

    def issue(self, account: Object, seconds: float) -> str:
        """A token for a stored service account."""
        token = secrets.token_urlsafe(24)
        self._issued[token] = account["metadata"], time.time() + seconds
        return token

    def user(self, header: str) -> User:
        """Raises 401 for a token that is unknown, expired, or of an account that is gone."""
        scheme, _, rest = header.partition(" ")
        token = rest.strip() if scheme.lower() == "bearer" else ""
        if not token:
            return User("system:anonymous", ("system:unauthenticated",))
        if secrets.compare_digest(token, self.admin_token):
            return User("kubernetes-admin", ("system:masters", "system:authenticated"))
        meta, expiry = self._issued.get(token, ({"namespace": "", "name": ""}, 0))
        namespace, name = meta["namespace"], meta["name"]
        account = self._store.get(("", "serviceaccounts"), namespace, name)
        if account is None or account["metadata"]["uid"] != meta["uid"] or expiry < time.time():
            raise ApiError(401, "Unauthorized")
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
        return User(f"system:serviceaccount:{namespace}:{name}", groups)

    def allows(self, user: User, request: Request) -> bool:
        """Whether any rule that is bound to the user covers the request."""
        if "system:masters" in user.groups:
            return True
        bindings = self._store.rows((RBAC, "clusterrolebindings"))
        if request.namespace:
            bindings = bindings + self._store.rows((RBAC, "rolebindings"), request.namespace)
        return any(
            _covers(rule, request) for one in bindings if _binds(one, user) for rule in self._rules(one)
        )

    def check(self, user: User, request: Request) -> None:
        """Raise 403 with kube-apiserver's message."""
        if self.allows(user, request):
            return
        verb, group, resource, namespace, name, path = request
        if path:
            raise ApiError(403, f'forbidden: User "{user.name}" cannot {verb} path "{path}"')
        where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
        plural = resource.partition("/")[0]
        subject = f"{plural}.{group}" if group else plural
        named = f' "{name}"' if name else ""
        why = f'cannot {verb} resource "{resource}" in API group "{group}" {where}'
        text = f'{subject}{named} is forbidden: User "{user.name}" {why}'
        raise ApiError(403, text, details={"name": name, "group": group, "kind": plural})

    def _rules(self, binding: Object) -> list[Object]:
        ref = binding["roleRef"]
        cluster = ref["kind"] == "ClusterRole"
        namespace = "" if cluster else binding["metadata"]["namespace"]
        role = self._store.get((RBAC, "clusterroles" if cluster else "roles"), namespace, ref["name"])
        return (role or {}).get("rules") or []


def _binds(binding: Object, user: User) -> bool:
    for subject in binding.get("subjects") or ():
        name = subject["name"]
        if subject["kind"] == "ServiceAccount":
            name = f"system:serviceaccount:{subject['namespace']}:{name}"
        if name in (user.groups if subject["kind"] == "Group" else (user.name,)):
            return True
    return False


def _covers(rule: Object, request: Request) -> bool:
    def has(key: str, *values: str) -> bool:
        return not {*values, "*"}.isdisjoint(rule.get(key) or ())

    if request.path:
        urls = rule.get("nonResourceURLs") or ()
        reached = any(
            request.path == url or (url[-1] == "*" and request.path.startswith(url[:-1])) for url in urls
        )
        return reached and has("verbs", request.verb)
    named = not rule.get("resourceNames") or request.name in rule["resourceNames"]
    return (
        named
        and has("verbs", request.verb)
        and has("apiGroups", request.group)
        and has("resources", request.resource, "*/" + request.resource.partition("/")[2])
    )
