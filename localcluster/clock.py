"""Time as Kubernetes writes it: RFC 3339 in UTC, whole seconds; microseconds only in leases."""

from datetime import UTC, datetime


def now() -> datetime:
    """The current time, with its time zone."""
    return datetime.now(UTC)


def stamp(moment: datetime | None = None) -> str:
    """A time as text; the current time by default."""
    return (moment or now()).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> datetime:
    """The reverse."""
    return datetime.fromisoformat(text)
