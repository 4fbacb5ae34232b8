"""Settings, and the constants that are no settings, by name alone: `configured(port=0, send_timeout=0.3)`."""

from collections import defaultdict
from dataclasses import fields, is_dataclass, replace
from typing import Any

from exo_graphql.configured import DEFAULT_TUNING, Tuning
from exo_graphql.settings import Settings


def configured(**given: Any) -> tuple[Settings, Tuning]:
    """The defaults, but for what is given. A name that is neither a setting nor a constant is an error."""
    settings = {name: value for name, value in given.items() if name in Settings.model_fields}
    return Settings(**settings), tuned(**{name: value for name, value in given.items() if name not in settings})


def tuned(**given: Any) -> Tuning:
    """The defaults, but for what is given: the constants of all groups of rules, which have names of their own."""
    own: dict[str, Any] = {}
    inner: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    for name, value in given.items():
        group = _GROUPS.get(name)
        (own if group is None else inner[group])[name] = value
    rules = {group: replace(getattr(DEFAULT_TUNING, group), **values) for group, values in inner.items()}
    return replace(DEFAULT_TUNING, **rules, **own)


_GROUPS = {
    rule.name: group.name
    for group in fields(Tuning)
    if is_dataclass(rules := getattr(DEFAULT_TUNING, group.name))
    for rule in fields(rules)
}
