"""What `engine.profile` can say, and which profile a model has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from rephrase_worker.profiles.library import ModelProfile, VariantName

AUTO = "auto"
"""The production settings of the model's profile; baseline settings for a model without one."""
BASELINE = "baseline"
"""Nothing tuned."""
FASTEST = "fastest"
"""The fastest settings of the model's profile."""
NONE = "none"
"""No profile: what `engine` leaves out is vLLM's choice."""

PROFILE_PATTERN = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?(/(baseline|fastest|production))?$"
"""A word of the above, or the name of a profile file, with or without a variant."""


class UnknownProfileError(ValueError):
    """`engine.profile` names no profile that there is for this model."""


@dataclass(frozen=True)
class Choice:
    """The profile that a job gets."""

    profile: ModelProfile | None
    """None: the model has none."""
    variant: VariantName
    why: str
    """A sentence, or nothing where there is nothing to explain."""


def choose(asked: str, model: str, known: Mapping[str, ModelProfile]) -> Choice | None:
    """The profile that `engine.profile` means for a model; None when it asks for none.

    Raises UnknownProfileError.
    """
    if asked == NONE:
        return None
    own, why = of_model(model, known)
    if asked == AUTO:
        return Choice(own, "production" if own else "baseline", why)
    if asked == BASELINE:
        return Choice(own, "baseline", why)
    if asked == FASTEST:
        if own is None:
            raise UnknownProfileError(
                f"engine.profile: {FASTEST} needs a profile, and there is none for {model}. "
                f"{_what_there_is(known)}"
            )
        return Choice(own, "fastest", why)
    name, slash, wanted = asked.partition("/")
    variants: dict[str, VariantName] = {variant: variant for variant in get_args(VariantName)}
    variant = variants.get(wanted) if slash else "production"
    if name not in known or variant is None:
        raise UnknownProfileError(f"engine.profile: there is no profile {asked}. {_what_there_is(known)}")
    chosen = known[name]
    if chosen is not own:
        why = f"It was made for {chosen.models[0]} and is used for {model} because engine.profile says so."
    return Choice(chosen, variant, why)


def of_model(model: str, known: Mapping[str, ModelProfile]) -> tuple[ModelProfile | None, str]:
    """The profile of a model, and a sentence on what was assumed.

    The Hub's id decides. A folder, or the same name of another owner, is taken for the model of that name. A
    name that only contains that of a known model is not: it may be anything that was made from it.
    """
    own = plain(model)
    last = own.rpartition("/")[2]
    containing = ""
    for profile in known.values():
        for listed in profile.models:
            if own == listed.lower():
                return profile, ""
    for profile in known.values():
        for listed in profile.models:
            base = listed.lower().rpartition("/")[2]
            if last == base:
                return profile, f"{model} is taken for {listed}, because it has the same name."
            if re.search(rf"(?<![a-z0-9.]){re.escape(base)}(?![a-z0-9.])", last):
                containing = (
                    f" If it was made from {listed}, engine.profile: {profile.name} gives it that model's "
                    "settings."
                )
    return None, f"There is no profile for {model}.{containing}"


def plain(model: str) -> str:
    """A model's name without protocol, revision and closing slashes, in lower case."""
    name = model.removeprefix("hf://") if model.startswith("hf://") else model
    if "://" not in name and not name.startswith("/"):
        name = name.partition("@")[0]
    return name.rstrip("/").lower()


def _what_there_is(known: Mapping[str, ModelProfile]) -> str:
    return (
        f"It is one of {AUTO}, {BASELINE}, {FASTEST}, {NONE}, or a profile by name, with or without "
        f"/baseline, /fastest or /production behind it: {', '.join(sorted(known))}."
    )
