"""The limits of operations: two are settings, the others constants with their reasons."""

from dataclasses import dataclass

from exo_graphql.cluster.rules import DEFAULT_RULES


@dataclass(frozen=True, slots=True)
class OperationRules:
    """Seconds unless the name says otherwise."""

    stall_seconds: float = 600.0
    """An operation fails when nothing has progressed for as long."""
    memory_seconds: float = 20.0
    """How long an unload waits for its memory to be back."""
    memory_share: float = 0.8
    """Share of a shard's bytes by which the node's free memory must have risen."""
    small_share: float = 0.01
    """Below this share of the node's RAM a shard is within the noise: two newer reports count instead."""
    appear_seconds: float = 30.0
    """How long exo may take to list an instance, or to remove one. Commands sent during an election are lost."""
    resend_seconds: float = 6.0
    """A command whose effect is not seen is sent again after as long."""
    unreachable_seconds: float = 60.0
    """How long a step repeats a request to an exo that does not answer."""
    away_seconds: float = 86_400.0
    """How long an operation that has something to undo waits for exo to answer: it cannot be undone without."""
    settle_seconds: float = 3.0
    """How long to wait for the effect of a command that may have been lost."""
    command_seconds: float = 20.0
    """How long a command that another process has sent may be on its way: longer than its time-out."""
    replan_seconds: float = 5.0
    """How often a waiting operation plans again."""
    place_seconds: float = 10.0
    """How long placing waits for free memory that the nodes have not yet reported."""
    return_seconds: float = 60.0
    """The longest a restore waits for the nodes that held its models before it takes others."""
    settled_seconds: float = 20.0
    """The membership has settled when no node has joined or left for as long. After a lost master the nodes return one
    after the other, over 3 to 16 s (`exo/API.md`)."""
    turn_back_attempts: int = 2
    """exo's failed attempts after which an operation that has unloaded something turns back. exo's own five take up to
    112 s, in which no model serves, and a load that failed twice usually fails a third time."""
    give_way_seconds: float = 3.0
    """How long the answer to a person's request waits for an operation of a deployment that is cancelled for it. To
    restore what that had unloaded takes minutes: then the request is answered, and waits as an operation (PENDING)."""
    ending_seconds: float = 3.0
    """How long a request waits for an operation on the same models whose steps are all done: it ends once a last read
    of exo's state has confirmed its result. A client may see READY before that, and ask for the next thing."""
    undo_seconds: float = 120.0
    """How long the answer waits where it must be final: for exactly the plan that was shown, or for a download."""
    max_rounds: int = 5
    """How often a step repeats work that others have undone."""
    give_up_seconds: float = DEFAULT_RULES.give_up_after
    """A download that failed is final when no byte has arrived for as long."""
    tick_seconds: float = 1.0
    """The longest an operation sleeps without looking at its deadlines."""
    max_running: int = 20
    """Operations that are not finished, the waiting ones included."""
    max_models: int = 32
    """Models in one list of a swap."""
    catch_up_seconds: float = 5.0
    """How often an end that could not be written is tried again."""
    late_seconds: float = 120.0
    """An instance that nothing wants is removed this long after it has appeared at the latest: later it may be in
    use."""
    unclaimed_seconds: float = 86_400.0
    """How long the ids are remembered under which exo may still create an instance that nothing wants."""
    kept_unclaimed: int = 1000
    """Of these ids."""
    kept_finished: int = 1000
    """Ended operations that are kept for queries."""
    key_seconds: float = 86400.0
    """How long an idempotency key is remembered."""


DEFAULT_OPERATION_RULES = OperationRules()
