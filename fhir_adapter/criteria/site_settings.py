"""Numbers that a study leaves to the site: named in edges, set in the site file, else a default.

The study's hash is that of the names; what a site has set is part of its own rules, and with them
of the basis of every decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple, cast

import msgspec

from fhir_adapter.errors import SiteInvalid, StudyInvalid
from fhir_adapter.model.criterion import SITE_SETTING_IN_EDGE, Window
from fhir_adapter.model.study import Study


class SettledStudy(NamedTuple):
    """A study whose edges are all numbers, and what is printed on the rows that rest on them."""

    study: Study
    notes: Mapping[str, tuple[str, ...]]
    """By criterion: "baseline from 365 days before the onset"."""


def settled_study(study: Study, given: Mapping[str, str]) -> SettledStudy:
    """The study with the site's numbers, ``given`` by name, in place of the names.

    SiteInvalid where the site sets a number that the study does not leave to it.
    """
    names = [setting.name for setting in study.site_settings]
    for name in given:
        if name not in names:
            close = get_close_matches(name, names, n=1)
            remedy = f"Did you mean {close[0]!r}?" if close else "Take it out of the site file."
            raise SiteInvalid(f"{study.id} has no setting {name!r}", where=name, remedy=remedy)
    values = {one.name: given.get(one.name, one.default) for one in study.site_settings}
    for name in sorted(named_settings(study) - values.keys()):
        remedy = "List it under site-settings in study.yaml, with a default."
        raise StudyInvalid(f"an edge names the setting {name}", where=study.id, remedy=remedy)
    texts = {one.name: one.text.replace("{value}", values[one.name]) for one in study.site_settings}
    notes = {
        criterion.id: tuple(texts[name] for name in texts if name in named_settings(criterion))
        for criterion in study.criteria
    }
    return SettledStudy(_with_values(study, values), notes)


def named_settings(part: object) -> set[str]:
    """Names of settings in the edges of a part."""
    if isinstance(part, tuple):
        return {name for item in cast("tuple[object, ...]", part) for name in named_settings(item)}
    if not isinstance(part, msgspec.Struct):
        return set()
    fields = [getattr(part, name) for name in part.__struct_fields__]
    if isinstance(part, Window):
        found = (SITE_SETTING_IN_EDGE.search(text) for text in fields if isinstance(text, str))
        return {match["name"] for match in found if match is not None}
    return {name for field in fields for name in named_settings(field)}


def _with_values(part: Any, values: Mapping[str, str]) -> Any:
    if isinstance(part, tuple):
        return tuple(_with_values(item, values) for item in cast("tuple[object, ...]", part))
    if not isinstance(part, msgspec.Struct):
        return part
    fields = {name: getattr(part, name) for name in part.__struct_fields__}
    if isinstance(part, Window):
        return msgspec.structs.replace(
            part,
            **{
                name: SITE_SETTING_IN_EDGE.sub(lambda m: f" {m['sign']} {values[m['name']]}", text)
                for name, text in fields.items()
                if isinstance(text, str)
            },
        )
    changed = {name: _with_values(value, values) for name, value in fields.items()}
    if all(changed[name] is fields[name] for name in fields):
        return part
    return msgspec.structs.replace(part, **changed)
