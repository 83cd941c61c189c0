"""Who is asking, and may they: bearer tokens, and RBAC rules through their bindings."""

import base64
import hashlib
import hmac
import json
import secrets
import time
from dataclasses import dataclass
from typing import NamedTuple

from localcluster.errors import ApiError, Object
from localcluster.store import Store

RBAC = "rbac.authorization.k8s.io"


@dataclass(frozen=True)
class User:
    name: str
    groups: tuple[str, ...] = ()


class Request(NamedTuple):
    """What a rule is matched against. `path` is set for requests that are for no resource."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


class Authority:
    """Tokens live as long as the process: the admin's, and signed ones for service accounts."""

    def __init__(self, store: Store) -> None:
        self.admin_token = secrets.token_urlsafe(24)
        self._key = secrets.token_bytes(32)
        self._store = store

    def issue(self, account: Object, seconds: int) -> str:
        """A token in the shape of a JWT, for a stored service account."""
        meta = account["metadata"]
        claims = {"sub": f"system:serviceaccount:{meta['namespace']}:{meta['name']}", "uid": meta["uid"],
                  "exp": time.time() + seconds}
        head, body = (base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
                      for part in ({"alg": "HS256", "typ": "JWT"}, claims))
        return f"{head}.{body}.{self._sign(head, body)}"

    def _sign(self, head: str, body: str) -> str:
        return hmac.new(self._key, f"{head}.{body}".encode(), hashlib.sha256).hexdigest()

    def user(self, header: str) -> User:
        """Raises 401 for a token that is unknown, forged, expired, or of an account that is gone."""
        token = header.removeprefix("Bearer ").strip()
        if not token:
            return User("system:anonymous", ("system:unauthenticated",))
        if hmac.compare_digest(token, self.admin_token):
            return User("kubernetes-admin", ("system:masters", "system:authenticated"))
        head, _, rest = token.partition(".")
        body, _, signature = rest.partition(".")
        if body and hmac.compare_digest(signature, self._sign(head, body)):
            claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
            _, _, namespace, name = claims["sub"].split(":")
            account = self._store.get(("", "serviceaccounts"), namespace, name)
            if account and account["metadata"]["uid"] == claims["uid"] and claims["exp"] > time.time():
                return User(claims["sub"], ("system:serviceaccounts", f"system:serviceaccounts:{namespace}",
                                            "system:authenticated"))
        raise ApiError(401, "Unauthorized")

    def allows(self, user: User, request: Request) -> bool:
        if "system:masters" in user.groups:
            return True
        bindings = [one for one in self._store.rows((RBAC, "clusterrolebindings")) if _binds(one, user)]
        if request.namespace:
            bindings += [one for one in self._store.rows((RBAC, "rolebindings"), request.namespace)
                         if _binds(one, user)]
        return any(_covers(rule, request) for one in bindings for rule in self._rules(one))

    def check(self, user: User, request: Request) -> None:
        """Raises 403 in the words of kube-apiserver."""
        if self.allows(user, request):
            return
        if request.path:
            raise ApiError(403, f'forbidden: User "{user.name}" cannot {request.verb} path "{request.path}"')
        resource = request.resource + (f"/{request.subresource}" if request.subresource else "")
        where = f'in the namespace "{request.namespace}"' if request.namespace else "at the cluster scope"
        kind = request.resource + (f".{request.group}" if request.group else "")
        name = f' "{request.name}"' if request.name else ""
        raise ApiError(403, f'{kind}{name} is forbidden: User "{user.name}" cannot {request.verb} resource '
                            f'"{resource}" in API group "{request.group}" {where}',
                       details={"name": request.name, "group": request.group, "kind": request.resource})

    def _rules(self, binding: Object) -> list[Object]:
        ref = binding["roleRef"]
        cluster = ref["kind"] == "ClusterRole"
        namespace = "" if cluster else binding["metadata"]["namespace"]
        role = self._store.get((RBAC, "clusterroles" if cluster else "roles"), namespace, ref["name"])
        return (role or {}).get("rules") or []


def _binds(binding: Object, user: User) -> bool:
    for subject in binding.get("subjects") or ():
        namespace = subject.get("namespace") or binding["metadata"].get("namespace", "")
        if subject["kind"] == "Group" and subject["name"] in user.groups:
            return True
        account = f"system:serviceaccount:{namespace}:{subject['name']}"
        if user.name == (account if subject["kind"] == "ServiceAccount" else subject["name"]):
            return True
    return False


def _covers(rule: Object, request: Request) -> bool:
    def has(key: str, *values: str) -> bool:
        return bool({*values, "*"} & set(rule.get(key) or ()))

    if not has("verbs", request.verb):
        return False
    if request.path:
        return any(request.path == one or one.endswith("*") and request.path.startswith(one[:-1])
                   for one in rule.get("nonResourceURLs") or ())
    resource = f"{request.resource}/{request.subresource}" if request.subresource else request.resource
    return (has("apiGroups", request.group) and has("resources", resource, f"*/{request.subresource}")
            and (not rule.get("resourceNames") or request.name in rule["resourceNames"]))
