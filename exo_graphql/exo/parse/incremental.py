"""Reads one state after another: what is equal byte for byte is neither decoded nor built again.

Of a state of 32 nodes (4.4 MB), 98 % are download entries that never change. The read of an idle
cluster finds the slices of the parts, compares them with those of the last read, and decodes what changed: the index,
`lastSeen`, the telemetry. If one node downloads, only its entries are compared one by one, and the changed one is
decoded.
"""

import asyncio
from dataclasses import dataclass, field, replace
from operator import is_not

import msgspec

from exo_graphql.cluster.state import Connection, InstanceLink, ModelCard, Runner, State, Task
from exo_graphql.exo.parse.cards import CardTable, all_cards, custom_ids
from exo_graphql.exo.parse.downloads import Entry, NodeDownloads, read_entry
from exo_graphql.exo.parse.instances import ListedInstance, by_id, read_link, read_listed
from exo_graphql.exo.parse.json_values import whole
from exo_graphql.exo.parse.nodes import NODE_MAPS, Fields, read_nodes
from exo_graphql.exo.parse.parts import Part, Steps, Work, kept
from exo_graphql.exo.parse.runners import read_runner
from exo_graphql.exo.parse.slices import NotSliceable, is_array, is_object, items
from exo_graphql.exo.parse.state import check_keys, collector_paused, first_cards, parse_state
from exo_graphql.exo.parse.tasks import read_task
from exo_graphql.exo.parse.topology import read_connections, read_members

# A body that cannot be sliced is read whole: from this size on in a thread, since 1 MB takes 15 ms.
_WHOLE_IN_A_THREAD = 1 << 20
_INDEX = "lastEventAppliedIdx"
_READ = frozenset(
    {
        *NODE_MAPS,
        "topology",
        "instances",
        "runners",
        "downloads",
        "tasks",
        "customModelCards",
        "instanceLinks",
        _INDEX,
    }
)
_MAPS = ("nodes", "instances", "runners", "downloads", "tasks", "cards", "links")


@dataclass(frozen=True, slots=True)
class _Topology:
    text: msgspec.Raw = field(default_factory=lambda: msgspec.Raw(b"{}"))
    members: tuple[str, ...] = ()
    connections: Part[tuple[Connection, ...]] = field(default_factory=Part)


_NO_TOPOLOGY = _Topology()


@dataclass(frozen=True, slots=True)
class _Read:
    """A state and the parts that it was built from."""

    topology: _Topology = field(default_factory=_Topology)
    maps: tuple[Part[Fields], ...] = tuple(Part() for _ in NODE_MAPS)
    """One for each of `NODE_MAPS`."""
    instances: Part[ListedInstance] = field(default_factory=Part)
    runners: Part[Runner] = field(default_factory=Part)
    tasks: Part[Task] = field(default_factory=Part)
    downloads: Part[NodeDownloads] = field(default_factory=Part)
    cards: dict[str, ModelCard] = field(default_factory=dict)
    """The card of each model as instances and downloads first show it."""
    custom: Part[ModelCard | None] = field(default_factory=Part)
    links: Part[InstanceLink] = field(default_factory=Part)
    others: dict[str, msgspec.Raw] = field(default_factory=dict)
    """Unused keys: kept so that each is checked only once."""
    state: State = field(default_factory=State)


class StateReader:
    """Reads one state after another, from any node of the cluster. Not for concurrent reads."""

    def __init__(self) -> None:
        self._table = CardTable()
        self._last = _Read()

    def parse(self, body: bytes) -> State:
        """Reads the body of `GET /state`. Raises `NotAState` if it is not a state."""
        steps = self._steps(body)
        try:
            with collector_paused():
                while True:
                    next(steps)
        except StopIteration as end:
            state: State = end.value
            return state
        except NotSliceable:
            return parse_state(body)

    async def read(self, body: bytes) -> State:
        """The same in steps of a few milliseconds, between which other tasks run."""
        steps = self._steps(body)
        try:
            while True:
                with collector_paused():
                    next(steps)
                await asyncio.sleep(0)
        except StopIteration as end:
            state: State = end.value
            return state
        except NotSliceable:
            if len(body) < _WHOLE_IN_A_THREAD:
                return parse_state(body)
        return await asyncio.to_thread(parse_state, body)

    def _steps(self, body: bytes) -> Steps[State]:
        self._last = yield from _Reading(self._last, body, self._table).steps()
        return self._last.state


class _Reading(Work):
    """The read of one document after that of another."""

    def __init__(self, last: _Read, body: bytes, table: CardTable) -> None:
        super().__init__()
        self._last = last
        self._document = self.members(body)
        self._table = table

    def steps(self) -> Steps[_Read]:
        """Reads every part of the document. Raises `NotSliceable`."""
        check_keys(self._document)
        last, text = self._last, self._document.get
        others = self._others()
        yield from self.pause()
        topology = yield from self._topology(text("topology"))
        maps: list[Part[Fields]] = []
        for (name, read), known in zip(NODE_MAPS.items(), last.maps, strict=True):
            maps.append((yield from self.part(known, text(name), read)))
        instances = yield from self.part(last.instances, text("instances"), self._instance)
        downloads, cards = last.downloads, last.cards
        if instances is not last.instances or text("downloads") != downloads.text:
            cards = first_cards(one.cards for one in instances.values.values())
            downloads = yield from self._downloads(text("downloads"), cards)
        custom = yield from self.part(last.custom, text("customModelCards"), self._card)
        links = yield from self.part(last.links, text("instanceLinks"), read_link)
        runners = yield from self.part(last.runners, text("runners"), _runner)
        tasks = yield from self.part(last.tasks, text("tasks"), read_task)
        result = _Read(topology, tuple(maps), instances, runners, tasks, downloads, cards, custom, links, others)
        return replace(result, state=self._state(result))

    def _state(self, read: _Read) -> State:
        """The state of these parts. What has not changed is taken from the last state."""
        last, state = self._last, self._last.state
        same_instances = read.instances is last.instances
        nodes = state.nodes
        if read.topology is not last.topology or any(map(is_not, read.maps, last.maps)):
            maps = (part.values for part in read.maps)
            nodes = read_nodes(read.topology.members, maps, read.topology.connections.values)
        known = state.cards
        if read.cards is not last.cards or read.custom is not last.custom:
            known = kept(known, all_cards(read.cards, read.custom.values))
        custom = self._document.get("customModelCards")
        index = self._document.get(_INDEX)
        new = State(
            nodes=nodes,
            instances=state.instances if same_instances else kept(state.instances, by_id(read.instances.values)),
            runners=kept(state.runners, read.runners.values),
            downloads=state.downloads
            if read.downloads is last.downloads
            else kept(state.downloads, {id_: one.by_model for id_, one in read.downloads.values.items()}),
            tasks=kept(state.tasks, read.tasks.values),
            cards=known,
            custom_ids=custom_ids(read.custom.values if custom is not None and is_object(custom) else None),
            links=kept(state.links, read.links.values),
            index=None if index is None else whole(self.loads(index, 1)),
        )
        same = (new.index, new.custom_ids) == (state.index, state.custom_ids) and all(
            getattr(new, name) is getattr(state, name) for name in _MAPS
        )
        return state if same else new

    def _instance(self, id_: str, raw: object) -> ListedInstance:
        return read_listed(id_, raw, self._table)

    def _card(self, _: str, raw: object) -> ModelCard | None:
        return self._table.read(raw)

    def _others(self) -> dict[str, msgspec.Raw]:
        """The unused keys: decoded once, to verify that orjson accepts them."""
        others = {}
        for key, text in self._document.items():
            if key not in _READ:
                others[key] = self._checked(self._last.others.get(key), text, 1)
        return others

    def _checked(self, last: msgspec.Raw | None, text: msgspec.Raw, depth: int) -> msgspec.Raw:
        if last is not None and last == text:
            return last
        self.loads(text, depth)
        return text.copy()

    def _topology(self, text: msgspec.Raw | None) -> Steps[_Topology]:
        last = self._last.topology
        if text is None:
            return _NO_TOPOLOGY
        if text == last.text:
            return last
        text = text.copy()
        if not is_object(text):
            self.loads(text, 1)
            return _Topology(text)
        slices = self.members(text)
        for key, value in slices.items():
            if key not in ("nodes", "connections"):
                self.loads(value, 2)
        nodes = slices.get("nodes")
        connections = yield from self.part(last.connections, slices.get("connections"), read_connections, 2)
        return _Topology(text, () if nodes is None else read_members(self.loads(nodes, 2)), connections)

    def _downloads(self, text: msgspec.Raw | None, cards: dict[str, ModelCard]) -> Steps[Part[NodeDownloads]]:
        """The entries of every node. Cards that appear first here are added to `cards`."""
        last = self._last.downloads
        if text is None:
            return Part()
        text = text.copy()
        if not is_object(text):
            self.loads(text, 1)
            return Part(text)
        slices = self.members(text)
        yield from self.pause()
        values: dict[str, NodeDownloads] = {}
        for node_id, entries in slices.items():
            known = last.values.get(node_id)
            if known is not None and entries == last.slices[node_id] and known.still_valid(cards):
                values[node_id] = known
            else:
                values[node_id] = self._node_downloads(node_id, entries, cards)
                yield from self.pause()
        return Part(text, slices, values)

    def _node_downloads(self, node_id: str, text: msgspec.Raw, cards: dict[str, ModelCard]) -> NodeDownloads:
        if not is_array(text):
            self.loads(text, 2)
            return NodeDownloads(())
        last = self._last.downloads.values.get(node_id)
        known = () if last is None or not last.entries else last.entries
        # exo changes entries in place and appends new ones: each item is compared with the one at the same position.
        before = items(self._last.downloads.slices[node_id]) if known else []
        entries: list[Entry | None] = []
        for place, item in enumerate(items(text)):
            if place < len(before) and before[place] == item:
                entry = known[place]
                if entry is None or entry.still_valid(cards):
                    entries.append(entry)
                    continue
            entries.append(read_entry(node_id, self.loads(item, 3), cards, self._table))
        return NodeDownloads(entries)


def _runner(_: str, raw: object) -> Runner:
    return read_runner(raw)
