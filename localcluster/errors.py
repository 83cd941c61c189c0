"""Errors in Kubernetes' form: an HTTP code, a reason and a `Status` body."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

Object = dict[str, Any]
REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    410: "Expired",
    415: "UnsupportedMediaType",
    422: "Invalid",
    501: "NotImplemented",
}


NAMESPACE_TERMINATING = "NamespaceTerminating"
"""Reason of the cause of a 403 for an object that would be created in a terminating namespace."""


class Cause(NamedTuple):
    """One invalid field: its path, the machine-readable reason, and the sentence for people."""

    field: str
    reason: str
    message: str


@dataclass(eq=False)
class ApiError(Exception):
    """An answer other than success; the reason follows from the code unless it is given."""

    code: int
    message: str
    reason: str = ""
    details: Object = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.code} {self.message}"

    @property
    def namespace_ends(self) -> bool:
        """True if an object could not be created because its namespace is being deleted."""
        causes = self.details.get("causes") or ()
        return any(cause["reason"] == NAMESPACE_TERMINATING for cause in causes)

    def status(self) -> Object:
        """The `Status` object that goes to the client."""
        reason = self.reason or REASONS.get(self.code, "InternalError")
        head = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        return {**head, "message": self.message, "reason": reason, "details": self.details, "code": self.code}


def invalid(group: str, kind: str, name: str, causes: list[Cause]) -> ApiError:
    """The 422 that kubectl prints as `The KIND "NAME" is invalid: ...`."""
    listed = ", ".join(f"{cause.field}: {cause.message}" for cause in causes)
    qualified = f"{kind}.{group}" if group else kind
    details = {"name": name, "group": group, "kind": kind, "causes": [cause._asdict() for cause in causes]}
    text = f'{qualified} "{name}" is invalid: {f"[{listed}]" if len(causes) > 1 else listed}'
    return ApiError(422, text, details=details)
