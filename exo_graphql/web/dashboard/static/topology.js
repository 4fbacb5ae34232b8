// The topology: the nodes, what links them, and which of them hold each model. Drawn anew when one of these changes;
// what changes each second is set in the drawing.

import { secondsSince } from "./clock.js";
import { LINKS } from "./documents.js";
import { attribute, h, keyed, text } from "./dom.js";
import { amount, label, part } from "./format.js";
import { refetcher } from "./refetch.js";
import { ask } from "./request.js";
import { s } from "./svg.js";
import { drawing } from "./topology_drawing.js";
import { layoutOf, linesOf, routeOf } from "./topology_layout.js";
import { instanceWords, linkWords, MEDIA, topologyWords } from "./topology_text.js";

// As many colours as wall.css has.
const COLOURS = 8;
// As LINK_LOST and LINK_DEGRADED.
const SETTLED_S = 12;
const ORDER = Object.keys(MEDIA);

/** `show(nodeId)` leads to a node's row. */
export function topologySection(show) {
  const root = document.getElementById("topology");
  const map = root.querySelector(".map");
  const empty = root.querySelector(".empty");
  const models = keyed(root.querySelector(".legend"), ({ id }) => id, modelRow);
  const media = keyed(root.querySelector(".media"), ({ medium }) => medium, mediumRow);
  const worse = keyed(root.querySelector(".worse"), pairOf, linkRow);
  const details = root.querySelector("details");
  const all = keyed(details.querySelector("ul"), pairOf, linkRow);
  const hints = keyed(root.querySelector(".hints"), (hint) => hint, (hint) => ({ element: h("li", {}, hint), update() {} }));
  let links = [];
  let cluster = null;
  let drawn = null; // the drawing, and what it was made from

  const refresh = refetcher(async () => {
    links = (await ask(LINKS, {})).cluster.links;
    draw();
  });
  new ResizeObserver(() => draw()).observe(map);

  function draw() {
    if (cluster === null || map.clientWidth === 0) return;
    const { nodes } = cluster;
    const known = new Set(nodes.map(({ id }) => id));
    const shown = links.filter((link) => link.nodes.every(({ id }) => known.has(id))).map((link) => settled(link, nodes));
    const instances = instancesOf(cluster.models);
    const made = JSON.stringify([map.clientWidth, nodes.map(({ id, friendlyName, status }) => [id, friendlyName, status]), instances.map(({ route, colour }) => [route, colour]), shown]);
    if (drawn?.made !== made) {
      const focused = document.activeElement?.closest?.("[data-place]")?.dataset.place;
      const layout = layoutOf(nodes.length, map.clientWidth, Math.max(0, ...nodes.map((node) => label(node).length)));
      const lines = linesOf(nodes.length, shown);
      drawn = { made, ...drawing(layout, nodes, lines, instances, show) };
      map.replaceChildren(...(nodes.length === 0 ? [] : [drawn.element]));
      if (focused) map.querySelector(`[data-place="${CSS.escape(focused)}"]`)?.focus();
      media(mediaOf(lines, shown));
      worse(shown.filter(({ status }) => status !== "UP"));
      all(shown);
      details.hidden = shown.length === 0;
    }
    drawn.update(nodes);
    attribute(drawn.element, "aria-label", topologyWords(nodes, shown));
    models(instances);
    hints(cluster.hints);
    empty.hidden = nodes.length > 0;
  }

  return (now, connection) => {
    cluster = now;
    refresh(`${connection} ${now.linksVersion} ${now.nodes.length}`);
    draw();
  };
}

/** The instances with what the drawing needs: its nodes in order, its model, and the number of the model's colour. */
function instancesOf(models) {
  return models.flatMap((model, number) =>
    model.instances.map((instance) => ({ id: instance.id, instance, model, route: routeOf(instance), number: number + 1, colour: number % COLOURS })),
  );
}

function mediaOf({ hub }, links) {
  const seen = new Set(links.map(({ status, medium }) => (status === "UP" ? medium : status)));
  return [...ORDER, "DEGRADED", "ONE_WAY", "LOST"].filter((medium) => seen.has(medium)).map((medium) => ({ medium, hub }));
}

/**
 * The link, as UP until it has been worse for some seconds while both nodes are online: a node that joins has its links
 * in one direction first, and one that dies loses them one after the other. Of a node that is not online that is shown.
 */
function settled(link, nodes) {
  const online = link.nodes.every(({ id }) => nodes.find((node) => node.id === id).status === "ONLINE");
  const long = link.since !== null && secondsSince(link.since) >= SETTLED_S;
  return link.status === "UP" || (online && long) ? link : { ...link, status: "UP", medium: link.medium ?? link.bestMedium };
}

/** Two nodes by their ids: names need not be unique. */
function pairOf({ nodes }) {
  return nodes.map(({ id }) => id).join(" ");
}

function linkRow() {
  const element = h("li");
  return { element, update: (link) => text(element, linkWords(link)) };
}

const NAMES = { ...MEDIA, DEGRADED: "slower than before", ONE_WAY: "one direction only", LOST: "lost" };

function mediumRow({ medium }) {
  const sample = s("svg", { width: 36, height: 10, "aria-hidden": "true" }, s("line", { class: "link", "data-medium": medium, "data-link": medium, x1: 2, y1: 5, x2: 34, y2: 5 }));
  return { element: h("li", {}, sample, ` ${NAMES[medium]}`), update() {} };
}

function modelRow({ number, colour, model }) {
  const chip = h("span", { class: "chip", "aria-hidden": "true" }, String(number));
  const where = h("span", { class: "facts" });
  const element = h("li", {}, chip, h("strong", {}, model.name), " ", where);
  return {
    element,
    update(now) {
      attribute(element, "data-colour", now.colour);
      text(chip, String(now.number));
      text(where, instanceWords(now.instance, now.route));
    },
  };
}

/** A node in a few words, for its title and for screen readers. */
export function nodeWords(node) {
  const used = node.ramTotalGb === null ? "memory not reported" : `${part(node.ramUsedGb, node.ramTotalGb)} used`;
  const figures = [amount(node.gpuUsagePercent, "% GPU"), amount(node.temperatureC, "°C"), amount(node.powerWatts, "W")];
  const models = node.models.length === 0 ? "no model" : node.models.map(({ name }) => name).join(", ");
  return [`${label(node)}: ${node.status.toLowerCase()}`, used, ...figures, models].filter(Boolean).join(", ");
}
