// The last hour of each node. Asked for once for all nodes, then continued from the live state.

import { HISTORY } from "./documents.js";
import { refetcher } from "./refetch.js";
import { ask } from "./request.js";

/** The figures that have a history: names of fields of `Node` and of `History`. */
export const KEPT = ["ramUsedGb", "gpuUsagePercent", "temperatureC", "powerWatts"];
// Drawing 128 lines each second would be most of what the page does. A line of an hour hardly changes in 5 s.
const REDRAW_MS = 5000;

/**
 * The last hour, in intervals: `{ start, step, nodes }` with the time of the first interval and the length of each in
 * milliseconds; `nodes` maps ids to lists of values by figure, null where nothing was reported.
 */
export function emptyHour(start, step, points) {
  return { start, step, points, nodes: new Map(), latest: new Map() };
}

/** Puts what the nodes report at `now` into the hour: it moves on, and the last interval is the mean so far. */
export function append(hour, now, nodes) {
  const passed = Math.floor((now - hour.start) / hour.step) - hour.points + 1;
  if (passed > 0) {
    hour.start += passed * hour.step;
    hour.latest.clear();
    for (const lists of hour.nodes.values()) {
      for (const list of Object.values(lists)) {
        for (let number = 0; number < Math.min(passed, hour.points); number += 1) {
          list.shift();
          list.push(null);
        }
      }
    }
  }
  for (const node of nodes) {
    const lists = listsOf(hour, node.id);
    for (const name of KEPT) {
      const value = node[name];
      if (value === null) continue;
      const key = `${node.id} ${name}`;
      const seen = hour.latest.get(key) ?? { sum: 0, count: 0 };
      seen.sum += value;
      seen.count += 1;
      hour.latest.set(key, seen);
      lists[name][hour.points - 1] = seen.sum / seen.count;
    }
  }
}

function listsOf(hour, id) {
  const lists = hour.nodes.get(id) ?? Object.fromEntries(KEPT.map((name) => [name, Array(hour.points).fill(null)]));
  hour.nodes.set(id, lists);
  return lists;
}

/** The hour of all nodes. `update(cluster, connection)` with each state; `of(id)` gives a node's lists. */
export function liveHistory() {
  let hour = emptyHour(Date.now() - 3_600_000, 30_000, 120);
  let redrawn = 0;
  const store = {
    /** Increases when lines should be drawn anew. */
    version: 0,
    /** When the first interval begins, and the length of each, in milliseconds. */
    get window() {
      return { start: hour.start, step: hour.step };
    },
    of: (id) => listsOf(hour, id),
    update(cluster, connection) {
      refresh(`${connection} ${cluster.nodes.map(({ id }) => id).join()}`);
      if (cluster.stale || !cluster.connected) return;
      append(hour, Date.parse(cluster.observedAt), cluster.nodes);
      if (Date.now() - redrawn >= REDRAW_MS) redraw();
    },
  };

  function redraw() {
    redrawn = Date.now();
    store.version += 1;
  }

  const refresh = refetcher(async () => {
    const { nodes } = await ask(HISTORY, {});
    if (nodes.length === 0) return;
    const [first, second] = nodes[0].history.at.map(Date.parse);
    hour = emptyHour(first, second - first, nodes[0].history.at.length);
    for (const { id, history } of nodes) hour.nodes.set(id, Object.fromEntries(KEPT.map((name) => [name, history[name]])));
    redraw();
  });
  return store;
}
