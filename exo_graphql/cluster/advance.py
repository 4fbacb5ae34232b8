"""The only place where a state of exo becomes a snapshot."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from exo_graphql.cluster.contact import NO_PULSE, Contact, Pulse
from exo_graphql.cluster.expectations import NO_EXPECTATIONS, Expectations
from exo_graphql.cluster.health import hung
from exo_graphql.cluster.history import NEVER_LOADED, History, ModelHistory
from exo_graphql.cluster.lag import Lag, newest_heartbeat
from exo_graphql.cluster.loads import NO_LOADS, Loads
from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.past import Past, joined
from exo_graphql.cluster.readiness import read_instance
from exo_graphql.cluster.remember import remember
from exo_graphql.cluster.rules import DEFAULT_RULES, Rules
from exo_graphql.cluster.snapshot import Snapshot, Source
from exo_graphql.cluster.state import ModelCard, State
from exo_graphql.cluster.transitions import Transitions

_NO_CONTACT = Contact()
_NOTHING: Mapping[str, ModelHistory] = {}


def advance(
    previous: Snapshot | None,
    state: State | None,
    now: Moment,
    source: Source,
    *,
    contact: Contact = _NO_CONTACT,
    catalogue: Mapping[str, ModelCard] | None = None,
    unloading: Mapping[str, str] | None = None,
    loads: Loads = NO_LOADS,
    expectations: Expectations = NO_EXPECTATIONS,
    lost: Mapping[str, str] | None = None,
    rules: Rules = DEFAULT_RULES,
    past: Past | None = None,
    known: Mapping[str, ModelHistory] = _NOTHING,
    seen_at: datetime | None = None,
) -> tuple[Snapshot, Transitions]:
    """The next snapshot, and what changed since `previous`. At least one of `previous` and `state` is given.

    `state` is None if no new one arrived: the last one is evaluated again, since time alone changes its meaning (a node
    becomes STALE). `contact` says whether exo answers. `unloading` maps the instances that this server has asked exo to
    delete, and whose memory is not free yet, to their models. `loads` and `expectations` are about this server's
    operations and deployments. `past` is joined to this state (see `joined`). `known` is what another server that reads
    the same exo knows of models: it counts for those that are in the same phase here. `seen_at` is when that server
    received the state, where this one has it from there: what has changed, changed then.
    """
    if previous is None:
        if state is None:
            raise ValueError("there has been no state yet")
        shown, observed, held, history = state, now, False, History(lag=Lag().after(state, now, rules))
    elif state is None:
        # A held snapshot stays held.
        shown, observed, held, history = previous.state, previous.observed, previous.held, previous.history
    else:
        held, history = _is_held(previous, state, contact, now, rules)
        shown, observed = (previous.state, previous.observed) if held else (state, now)
    pulse = NO_PULSE if previous is None else previous.pulse
    if state is not None:
        pulse = pulse.after(state, contact, now, rules)
        since = now.elapsed if history.empty_since is None else history.empty_since
        history = replace(history, empty_since=None if state.nodes else since)
    if catalogue is None:
        catalogue = previous.catalogue if previous is not None else {}
    unloading = unloading if unloading is not None else {}
    unknown_because = _unknown_because(contact, history, pulse, now, rules)
    instance_statuses = {
        instance.id: read_instance(instance, shown, rules, unloading=unloading.keys(), unknown_because=unknown_because)
        for instance in shown.instances.values()
    }
    before = history
    seen = now if seen_at is None else replace(now, at=seen_at)
    history, transitions = remember(
        history, shown, instance_statuses, unloading, seen, first=previous is None, loads=loads
    )
    if past is not None:
        # What it changes was seen by nobody: it makes no transitions.
        history = joined(past, before, shown, instance_statuses, unloading, seen, loads)
    if known:
        history = _as_known(history, known)
    instance_statuses = {
        id_: instance_status.of_attempt(history.instances[id_].attempt)
        for id_, instance_status in instance_statuses.items()
    }
    snapshot = Snapshot(
        shown,
        history,
        instance_statuses,
        catalogue,
        source,
        rules,
        observed,
        now,
        held=held,
        unloading=unloading,
        pulse=pulse,
        loads=loads,
        expectations=expectations,
        lost=lost or {},
    )
    if previous is not None:
        snapshot.follow(previous)
    return snapshot, transitions


def _as_known(history: History, known: Mapping[str, ModelHistory]) -> History:
    agreed = {
        id_: replace(theirs, changed_elapsed=own.changed_elapsed)
        for id_, theirs in known.items()
        for own in [history.models.get(id_, NEVER_LOADED)]
        if own.phase is theirs.phase
    }
    return replace(history, models={**history.models, **agreed}) if agreed else history


def _is_held(previous: Snapshot, state: State, contact: Contact, now: Moment, rules: Rules) -> tuple[bool, History]:
    """Whether the last state is still shown, since the new one has no nodes or lacks events; and the history of that.

    An election takes 3 to 16 s, during which exo lists no nodes. A node that joins replays the log, for 30 s or for
    minutes, and shows instances that were deleted long ago. In both cases the last state is nearer to the truth.
    """
    history, empty = previous.history, not state.nodes
    held = empty and _within_grace(previous, now, rules)
    behind_since, lag = None, history.lag.after(state, now, rules, resumed=contact.resumed)
    if lag.seconds or history.is_behind(state):
        behind_since = now.elapsed if history.behind_since is None else history.behind_since
        # Where exo applies its events late, even its newest state is old: stale, but newer than the last one.
        late = lag.seconds and _is_newer(state, previous.state)
        held = held or (not late and (bool(lag.seconds) or now.since(behind_since) < rules.behind_grace))
    return held, replace(history, behind_since=behind_since, lag=lag, emptied=history.emptied or empty)


def _is_newer(state: State, shown: State) -> bool:
    newest, before = newest_heartbeat(state), newest_heartbeat(shown)
    return newest is not None and before is not None and newest > before


def _within_grace(previous: Snapshot, now: Moment, rules: Rules) -> bool:
    empty_since = previous.history.empty_since
    return bool(previous.state.nodes) and (empty_since is None or now.since(empty_since) < rules.empty_grace)


def _unknown_because(contact: Contact, history: History, pulse: Pulse, now: Moment, rules: Rules) -> str | None:
    """Why there is no recent state of any instance; None while there is one."""
    if contact.silent_since is not None and now.since(contact.silent_since) >= rules.unseen_after:
        return f"No response from exo for {rules.unseen_after:g} s or more."
    if history.empty_since is not None and now.since(history.empty_since) >= rules.unseen_after:
        return f"exo has listed no nodes for {rules.unseen_after:g} s or more."
    if (
        history.lag.seconds
        and history.behind_since is not None
        and now.since(history.behind_since) >= rules.unseen_after
    ):
        return f"The exo node that answers has lacked the newest events for {rules.unseen_after:g} s or more."
    return hung(rules) if pulse.still else None
