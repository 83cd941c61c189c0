"""Failures as Kubernetes tells them: an HTTP code, a reason and a `Status` body (API conventions, "Error codes")."""

from dataclasses import dataclass, field
from typing import Any, TypeAlias

Object: TypeAlias = dict[str, Any]

REASONS = {400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 405: "MethodNotAllowed",
           409: "Conflict", 410: "Expired", 415: "UnsupportedMediaType", 422: "Invalid", 501: "NotImplemented"}


@dataclass(frozen=True)
class Cause:
    """One invalid field: its path, the machine-readable reason, and the sentence for people."""

    field: str
    reason: str
    message: str


@dataclass(eq=False)
class ApiError(Exception):
    """An answer other than success; `reason` follows from the code unless given."""

    code: int
    message: str
    reason: str = ""
    details: Object = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.reason = self.reason or REASONS.get(self.code, "InternalError")

    def __str__(self) -> str:
        return f"{self.code} {self.reason}: {self.message}"

    def status(self) -> Object:
        """The `Status` object that goes to the client."""
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": self.message,
                "reason": self.reason, "details": self.details, "code": self.code}


def invalid(group: str, kind: str, name: str, causes: list[Cause]) -> ApiError:
    """The 422 that kubectl prints as `The KIND "NAME" is invalid: ...`."""
    texts = [f"{cause.field}: {cause.message}" for cause in causes]
    listed = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    details = {"name": name, "group": group, "kind": kind,
               "causes": [{"reason": c.reason, "message": c.message, "field": c.field} for c in causes]}
    return ApiError(422, f'{kind}{"." + group if group else ""} "{name}" is invalid: {listed}', details=details)
