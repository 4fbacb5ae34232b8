"""The type `CalendarEntry`: which deployments are wanted when, over the coming days."""

from datetime import UTC, datetime, time
from functools import partial
from typing import Annotated
from zoneinfo import ZoneInfo

import strawberry
from strawberry import Parent, argument

from exo_graphql.deployments.assess import Assessment
from exo_graphql.deployments.calendar import MAX_DAYS, Entry, calendar
from exo_graphql.schema.context import Info
from exo_graphql.schema.deployment import Deployment
from exo_graphql.schema.errors import NamedError, shorten
from exo_graphql.schema.fields import field


def _named(info: Info, names: tuple[str, ...]) -> tuple[Assessment, ...]:
    known = {each.deployment.name: each for each in info.context.deployments.all()}
    return tuple(known[name] for name in names if name in known)


def _begins(root: Parent[Entry]) -> datetime:
    return root.begins


def _ends(root: Parent[Entry]) -> datetime:
    return root.ends


def _transition(root: Parent[Entry]) -> Entry:
    return root


def _wanted(root: Parent[Entry], info: Info) -> tuple[Assessment, ...]:
    return _named(info, root.names)


def _loads(root: Parent[Entry], info: Info) -> tuple[Assessment, ...]:
    return _named(info, root.loads)


def _unloads(root: Parent[Entry], info: Info) -> tuple[Assessment, ...]:
    return _named(info, root.unloads)


@strawberry.type(description="What changes where one entry of the calendar follows another.")
class CalendarTransition:
    """`deployments.calendar.Entry`."""

    loads: list[Deployment] = field(resolver=_loads, description="Deployments that open.")
    unloads: list[Deployment] = field(resolver=_unloads, description="Deployments that close.")
    note: str | None = field(
        description="How daylight saving time shifts or shortens a window that opens; null if it does not."
    )


@strawberry.type(description="A time during which the same deployments are wanted.")
class CalendarEntry:
    """`deployments.calendar.Entry`."""

    from_: datetime = strawberry.field(resolver=_begins, name="from", description="When it begins (UTC).")
    until: datetime = field(resolver=_ends, description="When it ends (UTC).")
    deployments: list[Deployment] = field(
        resolver=_wanted, description="Deployments that are wanted, whether paused or not."
    )
    fits_together: bool = field(
        description="Whether all of them fit together, and beside what belongs to no deployment, in the cluster as it "
        "is now."
    )
    reason: str | None = field(description="Which one does not fit, and why; null where they fit.")
    transition: CalendarTransition = field(resolver=_transition, description="What changes at `from`.")


async def resolve_calendar(
    info: Info,
    days: Annotated[int | None, argument(description=f"How many days, 1 to {MAX_DAYS}.")] = 14,
    from_: Annotated[
        datetime | None,
        argument(name="from", description="When the calendar begins. Default: today at 0:00 in `timeZone`."),
    ] = None,
    time_zone: Annotated[
        str | None, argument(description="IANA time zone in which a day begins. Default: the server's own.")
    ] = None,
) -> tuple[Entry, ...]:
    """The calendar, computed in a thread: the search for what fits together may take long."""
    length = 14 if days is None else days
    if not 1 <= length <= MAX_DAYS:
        raise NamedError("INVALID_ARGUMENT", f"A calendar cannot have {length} days.", f"Request 1 to {MAX_DAYS} days.")
    deployments = info.context.deployments
    zone_name = time_zone or deployments.time_zone
    try:
        zone = ZoneInfo(zone_name)
    except (KeyError, ValueError, OSError):
        raise NamedError(
            "INVALID_ARGUMENT", f"{shorten(zone_name)!r} is not a time zone.", "Use an IANA name, e.g. 'Europe/Berlin'."
        ) from None
    view = deployments.view(info.context.snapshot)
    today = view.now.at.astimezone(zone).date()
    begin = datetime.combine(today, time(), zone) if from_ is None else from_
    if begin.tzinfo is None:
        begin = begin.replace(tzinfo=zone)
    return await info.context.offload(partial(calendar, view, begin.astimezone(UTC), length))
