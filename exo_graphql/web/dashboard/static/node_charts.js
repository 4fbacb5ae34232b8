// The last hour of one node: a chart for each figure, read off together by pointer.

import { attribute, h, text } from "./dom.js";
import { amount, time } from "./format.js";
import { CHARTED } from "./node_figures.js";
import { extent, pathOf } from "./sparkline.js";
import { px, s } from "./svg.js";

const WIDTH = 300;
const HEIGHT = 64;

/** `update(node, history)`, while it is shown. */
export function nodeCharts() {
  const charts = CHARTED.map(chart);
  const when = h("p", { class: "facts" });
  const grid = h("div", { class: "grid" }, charts.map(({ element }) => element));
  const element = h("div", { class: "charts" }, grid, when);
  let window = null;
  let chosen = null; // the interval under the pointer

  const choose = (event) => {
    const box = event.target.closest("svg")?.getBoundingClientRect();
    if (!box) return;
    const points = charts[0].points();
    chosen = Math.max(0, Math.min(points - 1, Math.round(((event.clientX - box.left) / box.width) * (points - 1))));
    show();
  };
  grid.addEventListener("pointermove", choose);
  grid.addEventListener("pointerleave", () => {
    chosen = null;
    show();
  });

  function show() {
    for (const each of charts) each.read(chosen);
    const at = chosen === null || window === null ? null : new Date(window.start + chosen * window.step).toISOString();
    text(when, at === null ? "The last hour. Point at a chart to read a value." : `At ${time(at)}`);
  }

  return {
    element,
    update(node, history) {
      window = history.window;
      const lists = history.of(node.id);
      for (const each of charts) each.update(node, lists);
      show();
    },
  };
}

function chart({ key, name, unit, digits = 0, scale }) {
  const value = h("span");
  const line = s("path", { class: "line" });
  const cursor = s("line", { class: "cursor", y1: 0, y2: HEIGHT, visibility: "hidden" });
  const top = h("span");
  const drawing = s("svg", { role: "img", viewBox: `0 -2 ${WIDTH} ${HEIGHT + 4}`, preserveAspectRatio: "none" }, line, cursor);
  const caption = h("p", { class: "ends" }, h("strong", {}, name), value);
  const element = h("div", { class: "chart" }, caption, drawing, h("p", { class: "ends", "aria-hidden": "true" }, h("span", {}, "1 h ago"), top));
  let values = [];
  const format = (number) => (number === null || number === undefined ? "not reported" : amount(number, unit, digits));
  return {
    element,
    points: () => values.length,
    update(node, lists) {
      values = lists[key];
      const [low, high] = scale(node, values);
      line.setAttribute("d", pathOf(values, { low, high, width: WIDTH, height: HEIGHT }));
      text(top, `${amount(low, "")} to ${amount(high, unit)}`);
      const seen = extent(values);
      const range = seen === null ? "not reported" : `${format(seen[0])} to ${format(seen[1])}`;
      attribute(drawing, "aria-label", `${name}, last hour: ${range}. Now: ${format(node[key])}.`);
      this.now = format(node[key]);
    },
    read(chosen) {
      const x = px((chosen ?? 0) * (WIDTH / Math.max(1, values.length - 1)));
      attribute(cursor, "visibility", chosen === null ? "hidden" : null);
      attribute(cursor, "x1", x);
      attribute(cursor, "x2", x);
      text(value, chosen === null ? this.now : format(values[chosen]));
    },
  };
}
