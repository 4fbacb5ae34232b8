"""The types `Window` and `WindowInput`: when a deployment is wanted."""

import strawberry

from exo_graphql.deployments.schedule import Window as WindowValue
from exo_graphql.schema.fields import field

_CRON = (
    "A cron line of five fields: minute, hour, day of the month, month, day of the week. The window opens at each "
    "firing: '0 23 * * *' every day at 23:00. When clocks go forward, a time that is skipped fires when the gap is "
    "over; when they go back, a time that comes twice fires the first time."
)
_DURATION = (
    "Elapsed minutes that the window stays open. 420 minutes from 23:00 end at 06:00; at 07:00 when clocks go forward "
    "in between, at 05:00 when they go back."
)
_READY_BY = (
    "Whether the model must be ready at the firing. It is then loaded earlier, by one and a half times the duration of "
    "its slowest recent load, two hours at most."
)


@strawberry.type(description="A window of a schedule: it opens at each firing of its cron line.")
class Window:
    """`deployments.schedule.Window`."""

    cron: str = field(description=_CRON)
    duration_minutes: int = field(description=_DURATION)
    time_zone: str = field(description="The IANA time zone of the cron line, such as Europe/Berlin.")
    ready_by: bool = field(description=_READY_BY)


@strawberry.input(description="A window of a schedule: it opens at each firing of its cron line.")
class WindowInput:
    """What a caller declares."""

    cron: str = strawberry.field(description=_CRON)
    duration_minutes: int = strawberry.field(description=_DURATION)
    time_zone: str | None = strawberry.field(
        default=None, description="IANA, such as Europe/Berlin; without it the server's own, which is stored."
    )
    ready_by: bool | None = strawberry.field(default=False, description=_READY_BY)

    def value(self) -> WindowValue:
        """As the deployments take it; an empty time zone is the server's own."""
        return WindowValue(self.cron, self.duration_minutes, self.time_zone or "", bool(self.ready_by))
