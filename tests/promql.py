"""What a PromQL expression reads, and what there is to read."""

from __future__ import annotations

import re

from scripts.reference import metrics as reference


def exported() -> set[str]:
    """Names of the series that operator and workers export."""
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", reference.page(), re.MULTILINE)
    ends = {"counter": [""], "gauge": [""], "histogram": ["_bucket", "_count", "_sum"]}
    return {name + end for name, kind in rows for end in ends[kind]}


def metrics_of(expression: str) -> set[str]:
    """Names of the metrics that an expression selects."""
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', expression)
    bare = re.sub(r"#.*", "", bare)
    bare = re.sub(r"\b(?:by|on|ignoring|without|group_left|group_right)\s*\([^)]*\)", " ", bare)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", bare)
    words = re.findall(r"[A-Za-z_:][\w:]*(?!\w*\s*\()", bare)
    return {word for word in words if word not in {"and", "or", "unless", "bool", "offset"}}
