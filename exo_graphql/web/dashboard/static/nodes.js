// The nodes: cards, or beyond eight a table.

import { keyed } from "./dom.js";
import { liveHistory } from "./history.js";
import { nodeCard } from "./node_card.js";
import { nodeTable } from "./node_table.js";

const MOST_CARDS = 8;

export function nodeSection() {
  const root = document.getElementById("nodes");
  const list = root.querySelector(".rows");
  const empty = root.querySelector(".empty");
  const history = liveHistory();
  const cards = keyed(list, ({ id }) => id, (node) => nodeCard(node, history));
  const table = nodeTable(history);
  table.element.hidden = true;
  list.after(table.element);
  return ({ nodes, ...cluster }, connection) => {
    history.update({ ...cluster, nodes }, connection);
    const many = nodes.length > MOST_CARDS;
    cards(many ? [] : nodes);
    table.update(many ? nodes : []);
    table.element.hidden = !many;
    empty.hidden = nodes.length > 0;
  };
}

/** Scrolls to a node and focuses it. */
export function showNode(id) {
  const row = document.getElementById(`node-${id}`);
  row?.focus({ preventScroll: true });
  row?.scrollIntoView({ block: "nearest" });
}
