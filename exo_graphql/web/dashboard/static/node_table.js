// Many nodes as a dense table that can be sorted; a row opens to its charts.

import { attribute, bar, figure, h, keyed, text } from "./dom.js";
import { label, words } from "./format.js";
import { drawLines, kindOf, nodeDetails, seenOf } from "./node_card.js";
import { CHARTED, PLAIN } from "./node_figures.js";
import { sparkline } from "./sparkline.js";

const SORT_MS = 5000;
const STATUSES = ["STALE", "UNKNOWN", "ONLINE"];
const COLUMNS = [
  { key: "name", name: "Node", value: label },
  { key: "status", name: "Status", value: ({ status }) => STATUSES.indexOf(status) },
  ...[...CHARTED, ...PLAIN].map(({ key, name }) => ({ key, name, value: (node) => node[key], number: true })),
  { key: "models", name: "Models", value: ({ models }) => models.length, number: true },
];

/**
 * The nodes by the column of this key, downwards or not. What is not reported comes last either way; among equals the
 * order stays.
 */
export function sorted(nodes, key, down) {
  const { value } = COLUMNS.find((column) => column.key === key);
  const way = down ? -1 : 1;
  return [...nodes].sort((one, other) => {
    const [a, b] = [value(one), value(other)];
    if (a === null || b === null) return (a === null) - (b === null);
    return way * (typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b);
  });
}

/**
 * The order in which nodes are shown: that of `before` for those that are in it, the others last. Rows that move while
 * somebody reads or aims at them are of no use.
 */
export function kept(nodes, before) {
  const place = new Map(before.map((id, number) => [id, number]));
  const placeOf = ({ id }) => place.get(id) ?? before.length;
  return [...nodes].sort((one, other) => placeOf(one) - placeOf(other));
}

/** The table: `{ element, update(nodes) }`. */
export function nodeTable(history) {
  let order = { key: "name", down: false };
  let shown = [];
  let ids = [];
  let sortedAt = 0;
  const heads = COLUMNS.map(({ key, name, number }) => {
    const button = h("button", { type: "button", class: "plain", click: () => sortBy(key, number) }, name);
    return { key, element: h("th", { scope: "col", "data-column": key }, button) };
  });
  const head = h("thead", {}, h("tr", {}, heads.map(({ element }) => element)));
  const table = h("table", { class: "nodes", "aria-label": "Nodes" }, head);
  // A node is a group of two rows: its figures, and below them what is shown when it is opened.
  const rows = keyed(table, ({ id }) => id, (node) => nodeRows(node, history), head);

  function sortBy(key, number) {
    // Numbers are looked at from the highest one.
    order = { key, down: order.key === key ? !order.down : number === true };
    sortedAt = 0;
    draw();
  }

  function draw() {
    const now = performance.now();
    const read = sortedAt > 0 && (now - sortedAt < SORT_MS || table.matches(":hover, :focus-within"));
    if (!read) sortedAt = now;
    const rowsNow = read ? kept(shown, ids) : sorted(shown, order.key, order.down);
    ids = rowsNow.map(({ id }) => id);
    for (const { key, element } of heads) attribute(element, "aria-sort", key !== order.key ? null : order.down ? "descending" : "ascending");
    rows(rowsNow);
  }

  return {
    element: h("div", { class: "scroll" }, table),
    update(nodes) {
      shown = nodes;
      draw();
    },
  };
}

function nodeRows(first, history) {
  const open = h("button", { type: "button", class: "plain open", "aria-expanded": "false", click: toggle }, label(first));
  const status = h("span", { class: "badge" });
  const memory = bar("meter", `Memory in use on ${label(first)}`);
  const metrics = CHARTED.map((metric) => ({ ...metric, line: sparkline(), value: h("span", { class: "value" }) }));
  const plain = PLAIN.map((metric) => ({ ...metric, value: h("span", { class: "value" }) }));
  const models = h("td", { "data-column": "models" });
  const details = nodeDetails();
  const facts = h("p", { class: "facts" });
  const seen = h("p", { class: "failure" });
  const more = h("tr", { class: "more", hidden: true }, h("td", { colspan: COLUMNS.length }, facts, seen, details.element));
  const cell = ({ key, value, line }) =>
    h("td", { "data-column": key }, h("div", { class: "cell" }, value, key === "ramUsedGb" ? memory.element : null, line?.element));
  const element = h(
    "tbody",
    { id: `node-${first.id}`, tabindex: -1, "data-node": first.id },
    h("tr", {}, h("th", { scope: "row", "data-column": "name" }, open), h("td", { "data-column": "status" }, status), [...metrics, ...plain].map(cell), models),
    more,
  );
  let drawn = -1;
  let shown = first;

  function toggle() {
    more.hidden = !more.hidden;
    attribute(open, "aria-expanded", String(!more.hidden));
    if (!more.hidden) details.update(shown, history);
  }

  return {
    element,
    update(node) {
      shown = node;
      attribute(element, "data-status", node.status);
      text(open, label(node));
      text(status, words(node.status));
      for (const { read, short = read, value } of [...metrics, ...plain]) figure(value, short(node));
      memory.update(node.ramUsedPercent, metrics[0].read(node) ?? "unknown");
      attribute(models, "title", modelsOf(node)); // in the cell it may be cut
      if (models.textContent !== modelsOf(node)) models.textContent = modelsOf(node);
      text(facts, [kindOf(node), modelsOf(node)].filter(Boolean).join(" · "));
      text(seen, seenOf(node));
      if (drawn !== history.version) {
        drawn = history.version;
        drawLines(metrics, node, history);
        if (!more.hidden) details.update(node, history);
      }
    },
  };
}

function modelsOf({ models }) {
  return models.map(({ name }) => name).join(", ");
}
