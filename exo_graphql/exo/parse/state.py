"""Reads a whole document of exo's state at once. `incremental` always returns the same as this."""

import gc
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import orjson

from exo_graphql.cluster.state import ModelCard, State
from exo_graphql.exo.parse.cards import CardTable, all_cards, custom_ids
from exo_graphql.exo.parse.downloads import NodeDownloads, read_entry
from exo_graphql.exo.parse.instances import by_id, read_link, read_listed
from exo_graphql.exo.parse.json_values import mapping, mapping_or_none, whole
from exo_graphql.exo.parse.nodes import NODE_MAPS, read_nodes
from exo_graphql.exo.parse.runners import read_runner
from exo_graphql.exo.parse.tasks import read_task
from exo_graphql.exo.parse.topology import read_connections, read_members

# A JSON object with any of these keys is taken for exo's state; one without any is the answer of something else.
_STATE_KEYS = frozenset({"topology", "instances", "runners", "downloads", "lastSeen", "nodeIdentities"})


class NotAState(ValueError):
    """The body is not a state of exo: HTML, truncated JSON, a list, or the state of a release that is too old."""


def parse_state(body: bytes) -> State:
    """Reads the body of one `GET /state`. Raises `NotAState` for a body that is none."""
    with collector_paused():
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise NotAState(f"not JSON: {error}") from error
        return read_state(document)


def read_state(document: object) -> State:
    """Reads a decoded document. Raises `NotAState` for one that is none."""
    if not isinstance(document, dict):
        raise NotAState(f"a JSON {type(document).__name__} instead of an object")
    check_keys(document)
    table = CardTable()
    listed = {id_: read_listed(id_, raw, table) for id_, raw in mapping(document, "instances").items()}
    cards = first_cards(one.cards for one in listed.values())
    downloads = {
        node_id: NodeDownloads([read_entry(node_id, entry, cards, table) for entry in entries]).by_model
        for node_id, listed_entries in mapping(document, "downloads").items()
        for entries in [listed_entries if isinstance(listed_entries, list) else []]
    }
    custom = mapping_or_none(document, "customModelCards")
    custom_cards = None if custom is None else {id_: table.read(raw) for id_, raw in custom.items()}
    topology = mapping(document, "topology")
    maps = (
        {node_id: read(node_id, raw) for node_id, raw in mapping(document, name).items()}
        for name, read in NODE_MAPS.items()
    )
    edges = {source: read_connections(source, raw) for source, raw in mapping(topology, "connections").items()}
    return State(
        nodes=read_nodes(read_members(topology.get("nodes")), maps, edges),
        instances=by_id(listed),
        runners={id_: read_runner(raw) for id_, raw in mapping(document, "runners").items()},
        downloads=downloads,
        tasks={id_: read_task(id_, raw) for id_, raw in mapping(document, "tasks").items()},
        cards=all_cards(cards, custom_cards or {}),
        custom_ids=custom_ids(custom_cards),
        links={id_: read_link(id_, raw) for id_, raw in mapping(document, "instanceLinks").items()},
        index=whole(document.get("lastEventAppliedIdx")),
    )


def check_keys(document: Mapping[str, object]) -> None:
    """Raises `NotAState` for a JSON object that is no state."""
    if "nodeProfiles" in document and "nodeIdentities" not in document:
        raise NotAState("the state of an exo older than v1.0.65; update exo to read it")
    if not _STATE_KEYS & document.keys():
        raise NotAState("a JSON object with none of the keys of exo's state")


def first_cards(cards: Iterable[Iterable[ModelCard]]) -> dict[str, ModelCard]:
    """The first card of each model."""
    found: dict[str, ModelCard] = {}
    for some in cards:
        for card in some:
            found.setdefault(card.id, card)
    return found


@contextmanager
def collector_paused() -> Iterator[None]:
    """Pauses Python's garbage collector: a state has no reference cycles for it to find.

    It would run again and again while the objects of a state are made, each time over more of them. With 128 nodes that
    took two fifths of the time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
