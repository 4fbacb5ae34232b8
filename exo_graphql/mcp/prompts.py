"""Prompts: what people often want of a cluster, as instructions that name the tools."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PromptSpec:
    """One prompt. `arguments`: their descriptions by name; all are required. `text` names them in braces."""

    name: str
    title: str
    description: str
    arguments: Mapping[str, str]
    text: str


PROMPTS = (
    PromptSpec(
        "free_memory",
        "Free memory for a model",
        "Find what to unload so that a model fits, and load it.",
        {"model": "The model to load."},
        "Load {model} on this cluster. Call `plan` with load: [{model}]. If `fits` is false, call `plan` again with "
        "unload set to its `unloadToFit`, tell me which models would stop serving, and which deployments would be "
        "paused (`pauses`), and ask me before you call `apply` with the hash. Then `wait` for the operation, and "
        "confirm with `model_status` that {model} is ready. If the operation was rolled back, say why.",
    ),
    PromptSpec(
        "day_and_night",
        "One model by day, another by night",
        "Declare two deployments with windows.",
        {"day": "The model for the day.", "night": "The model for the night.", "time_zone": "IANA, as Europe/Berlin."},
        "Keep {day} loaded from 06:00 to 23:00 and {night} from 23:00 to 06:00 ({time_zone}). Call `plan_deployment` "
        "for a deployment `day` of {day} with schedule [{{cron: '0 6 * * *', durationMinutes: 1020, timeZone: "
        "'{time_zone}', readyBy: true}}], and for `night` of {night} with [{{cron: '0 23 * * *', durationMinutes: 420, "
        "timeZone: '{time_zone}'}}]. Show me both plans, and what they would unload. When I agree, `apply` both "
        "hashes, then show `deployments`.",
    ),
    PromptSpec(
        "why_not_ready",
        "Why is this model not ready?",
        "Find the cause, and what to do about it.",
        {"model": "The model."},
        "Find out why {model} is not ready. Call `model_status`; if it is not loaded, call `plan` with load: [{model}] "
        "and read `reason` and `unloadToFit`. Look at `events` of the model for failures and losses, and at "
        "`operation` for what was tried. Say the cause in one sentence, quote the message that shows it, and propose "
        "the next step. Change nothing.",
    ),
)
BY_NAME = {prompt.name: prompt for prompt in PROMPTS}
