"""Renders deployments, their calendar, and what an apply changes."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from exo_graphql.cli.format import UNKNOWN, ago, count, duration, labels, names, number, short, when
from exo_graphql.cli.layout import Column, Grid, Page, Prose, facts, section
from exo_graphql.cli.tables import styled
from exo_graphql.deployment_file.writer import value

Json = Mapping[str, Any]

_MARKS = {"new": ("+", "green"), "changed": ("~", "yellow"), "unchanged": ("=", "dim"), "unknown": ("?", "yellow")}


def deployments(data: Json, wide: bool) -> Page:  # noqa: FBT001  # as every view
    """`deployments.graphql`."""
    columns = [
        Column("DEPLOYMENT"),
        Column("STATE"),
        Column("MODEL", drop=2),
        Column("READY", drop=1),
        Column("NEXT", drop=3, sentence=True),
        Column("REASON", drop=4, sentence=True),
        Column("MODEL ID", wide=True),
    ]
    rows = [
        [
            each["name"],
            styled(each["state"]),
            each["model"]["name"],
            f"{each['readyReplicas']}/{each['replicas']}",
            _next(each),
            each["reason"],
            each["modelId"],
        ]
        for each in data["deployments"]
    ]
    yield Grid(columns, rows, "No deployments.", wide)


def _next(each: Json) -> str:
    if each["pausedUntil"] is not None:
        return f"resumes {when(each['pausedUntil'])}"
    if each["retryAt"] is not None:
        return f"retries {when(each['retryAt'])}"
    if each["openUntil"] is not None:
        return f"closes {when(each['openUntil'])}"
    return f"opens {when(each['nextOpening'])}" if each["nextOpening"] is not None else UNKNOWN


def deployment(data: Json, wide: bool) -> Page:  # noqa: FBT001  # as every view
    """`deployment.graphql`."""
    yield from _one(data["deployment"], wide=wide)


def changed(data: Json, _wide: bool) -> Page:  # noqa: FBT001  # as every view
    """A deployment that was paused or resumed."""
    (payload,) = data.values()
    each = payload["deployment"]
    yield Prose.of((each["name"], "bold"), "  ", styled(each["state"]), f"  {each['reason']}", hanging=2)
    if each["pausedUntil"] is not None:
        yield Prose.of(f"Until {when(each['pausedUntil'])}.", hanging=2)
    elif each["state"] == "PAUSED":
        yield Prose.of(f"Resume it with: exo-graphql resume {each['name']}", hanging=2)


def deleted(data: Json, _wide: bool) -> Page:  # noqa: FBT001  # as every view
    """`delete_deployment.graphql`."""
    yield Prose.of((data["deleteDeployment"]["deployment"]["name"], "bold"), "  deleted", hanging=2)


def deployed(data: Json, wide: bool) -> Page:  # noqa: FBT001  # as every view
    """`apply_deployment.graphql`."""
    payload = data["applyDeployment"]
    if payload["deployment"] is not None:
        yield from changed(data, wide)
    yield from plan(payload)


def _one(each: Json, *, wide: bool) -> Page:
    yield Prose.of((each["name"], "bold"), "  ", styled(each["state"]))
    yield Prose.of(each["reason"])
    failure = each["lastFailure"]
    values = {
        "model": each["modelId"],
        "ready": f"{each['readyReplicas']} of {count(each['replicas'], 'replica')}",
        "nodes": ", ".join(each["nodes"] or ()) or _any(each),
        "placed": f"sharding {each['sharding']}, instance type {each['instanceType']}",
        "priority": str(each["priority"]),
        "unloads": "never by itself"
        if each["idleUnloadSeconds"] is None
        else f"after {duration(each['idleUnloadSeconds'])} without a request",
        "drains": f"up to {duration(each['drainSeconds'])}",
        "wanted": ("yes" if each["wanted"] else "no") + ("" if each["schedule"] else ", always"),
        "closes": when(each["openUntil"]),
        "opens": when(each["nextOpening"]),
        "paused": each["pausedBecause"] or UNKNOWN,
        "resumes": when(each["pausedUntil"]),
        "attempts": str(each["attempts"]) if each["attempts"] else UNKNOWN,
        "retries": when(each["retryAt"]),
        "last failure": UNKNOWN if failure is None else f"{failure['message']} {ago(failure['at'])}",
        "operation": UNKNOWN if each["operation"] is None else each["operation"]["id"],
        "declared by": "the deployments file" if each["managedBy"] == "FILE" else "the API",
        "generation": str(each["generation"]),
        "changed": ago(each["changedAt"]),
    }
    yield facts({name: text for name, text in values.items() if text != UNKNOWN})
    if each["schedule"]:
        columns = [Column("CRON"), Column("FOR"), Column("TIME ZONE"), Column("READY BY")]
        rows = [
            [w["cron"], duration(60 * w["durationMinutes"]), w["timeZone"], "yes" if w["readyBy"] else UNKNOWN]
            for w in each["schedule"]
        ]
        yield section("Windows", Grid(columns, rows))
    if each["instances"]:
        rows = [
            [short(i["id"], wide=wide), styled(i["phase"]), labels(s["node"] for s in i["shards"] if s["node"])]
            for i in each["instances"]
        ]
        yield section("Instances", Grid([Column("INSTANCE"), Column("PHASE"), Column("NODES", sentence=True)], rows))


def _any(each: Json) -> str:
    return "any" if each["minNodes"] == 1 else f"any {each['minNodes']} or more"


def calendar(data: Json, wide: bool) -> Page:  # noqa: FBT001  # as every view
    """`calendar.graphql`."""
    columns = [
        Column("FROM"),
        Column("UNTIL", drop=3),
        Column("WANTED", sentence=True),
        Column("CHANGES", drop=2, sentence=True),
        Column("FITS", drop=1),
        Column("NOTE", sentence=True),
    ]
    rows: list[list[str | Text]] = [
        [
            when(each["from"]),
            when(each["until"]),
            _listed(each["deployments"]) or "none",
            _changes(each["transition"]),
            styled("yes" if each["fitsTogether"] else "no"),
            " ".join(filter(None, (each["reason"], each["transition"]["note"]))),
        ]
        for each in data["calendar"]
    ]
    yield Grid(columns, rows, "No days.", wide)


def _changes(transition: Json) -> str:
    opens = [f"+{entry['name']}" for entry in transition["loads"]]
    return ", ".join([*opens, *(f"-{entry['name']}" for entry in transition["unloads"])])


def _listed(entries: Sequence[Json]) -> str:
    return ", ".join(entry["name"] for entry in entries)


def applied(data: Json, _wide: bool) -> Page:  # noqa: FBT001  # as every view
    """The result of `apply`: `deployments`, each with its `status` and `changes`."""
    for place, each in enumerate(data["deployments"]):
        if place:
            yield ""
        yield from _difference(each)
    tally = dict.fromkeys(("new", "changed", "unchanged"), 0)
    for each in data["deployments"]:
        tally[each["status"] if each["status"] in tally else "changed"] += 1
    counts = f"{tally['new']} new, {tally['changed']} changed, {tally['unchanged']} unchanged."
    if data["deployments"]:
        yield ""
    yield Prose.of(f"{'Plan' if data['dryRun'] else 'Applied'}: {counts}", hanging=2)


def _difference(each: Json) -> Page:
    mark, style = _MARKS[each["status"]]
    words = {
        "new": "is new",
        "changed": f"changes (generation {each['generation']})",
        "unchanged": "is unchanged",
        "unknown": "cannot be planned before the others are applied",
    }[each["status"]]
    yield Prose.of((f"{mark} {each['name']}", f"bold {style}"), f" {words}", hanging=2)
    for change in each["changes"]:
        yield from _lines(change)
    if each["status"] == "unchanged" and each["pausedBecause"]:
        yield Prose.of(f"  It stays paused: {each['pausedBecause']}", hanging=4)
    if each["plan"] is not None and each["status"] != "unchanged":
        yield from plan(each)


def _lines(change: Json) -> Page:
    """A value before and after, in TOML; of a list only the elements that are removed or added."""
    name = change["argument"]
    before = None if change["before"] is None else json.loads(change["before"])
    after = json.loads(change["after"])
    if isinstance(before or after, list) and isinstance(after or before, list):
        gone = [element for element in before or () if element not in (after or ())]
        come = [element for element in after or () if element not in (before or ())]
    else:
        gone = [] if before is None else [before]
        come = [] if after is None else [after]
    for mark, style, elements in (("-", "red", gone), ("+", "green", come)):
        for element in elements:
            yield Prose.of((f"  {mark} {name} = {value(element)}", style), hanging=6)
    if after is None and change["before"] is not None and not gone:
        yield Prose.of((f"  - {name}", "red"), hanging=6)


def plan(payload: Json) -> Page:
    """The plan of an apply, and when it opens."""
    found = payload["plan"]
    if found is None:
        return
    values: dict[str, str] = {"fits": _fits(found)}
    if found["loads"]:
        values["needs"] = number(found["neededGb"], " GiB", 1)
        where = f" on {labels(found['nodes'])}" if found["nodes"] else ""
        values["loads"] = f"{names(found['loads'])}{where}"
    if found["unloads"]:
        values["unloads"] = names(found["unloads"])
    if found["adopts"]:
        values["keeps"] = names(instance["model"] for instance in found["adopts"])
    if found["downloads"]:
        values["downloads"] = ", ".join(
            f"{entry['model']['name']} to {labels([entry['node']] if entry['node'] else [])}"
            for entry in found["downloads"]
        )
    values["closes"] = when(payload["openUntil"])
    values["opens"] = when(payload["nextOpening"])
    if payload["nextOpening"] is None and payload["openUntil"] is None:
        values["opens"] = "always"
    for name, text in values.items():
        if text != UNKNOWN:
            yield Prose.of((f"  {name:9} ", "dim"), text, hanging=6)
    for place, step in enumerate(found["steps"], 1):
        yield Prose(Text(f"  {place}. {step}"), hanging=5)


def _fits(found: Json) -> str:
    if not found["fits"]:
        return f"no: {found['reason']}"
    if not found["loads"]:
        return "yes"
    return "yes, beside what is loaded" if found["loadFirst"] else "yes, once something is unloaded"
