// The topology as SVG: models as broad bands under thin lines for links, nodes above both.

import { amount, label } from "./format.js";
import { px, s } from "./svg.js";
import { nodeWords } from "./topology.js";
import { cut, MOST_CHARACTERS } from "./topology_layout.js";
import { MEDIA } from "./topology_text.js";

// Pixels of one character of a name.
const CHARACTER = 7.2;
// Pixels of the longest name of a medium.
const LABEL = 70;

/** Returns `{ element, update(nodes) }`; `lines` is `{ lines, hub }` of `linesOf`. */
export function drawing(layout, nodes, { lines, hub }, instances, show) {
  const { width, height, dense, box: size, places } = layout;
  const place = new Map(nodes.map(({ id }, number) => [id, places[number]]));
  const centre = { x: width / 2, y: height / 2 };
  const spokes = hub === null ? [] : [
    ...places.map((end) => line(centre, end, { class: "link", "data-medium": hub })),
    s("circle", { class: "body", cx: px(centre.x), cy: px(centre.y), r: 32 }),
    s("text", { class: "hub", x: px(centre.x), y: px(centre.y) + 4 }, hub === "NETWORK" ? "Network" : MEDIA[hub]),
  ];
  const drawNode = dense ? dot : box;
  const drawnNodes = nodes.map((node, number) => drawNode(layout, places[number], node, instances.filter(({ route }) => route.includes(node.id)), show));
  const element = s(
    "svg",
    { role: "group", width, height, viewBox: `0 0 ${px(width)} ${px(height)}` },
    s("g", { "aria-hidden": "true" }, instances.map(({ route, colour }) => band(route.map((id) => place.get(id)).filter(Boolean), colour, dense))),
    s("g", { "aria-hidden": "true" }, spokes, lines.map((link) => drawnLink(link, place, !dense && nodes.length <= 4 ? size : null))),
    drawnNodes.map((each) => each.element),
  );
  return { element, update: (now) => drawnNodes.forEach((each, number) => each.update(now[number])) };
}

function line(from, to, attributes) {
  return s("line", { x1: px(from.x), y1: px(from.y), x2: px(to.x), y2: px(to.y), ...attributes });
}

/** The way of an instance from node to node; a ring closes. */
function band(points, colour, dense) {
  if (points.length < 2) return null;
  const closed = points.length > 2 ? "Z" : "";
  return s("path", { class: "band", "data-colour": colour, "data-dense": dense, d: `M${points.map(({ x, y }) => `${px(x)} ${px(y)}`).join("L")}${closed}` });
}

/** A link; with the name of its medium where the boxes of this size leave space for it. */
function drawnLink({ nodes, medium, status }, place, size) {
  const [from, to] = nodes.map(({ id }) => place.get(id));
  const middle = { x: (from.x + to.x) / 2, y: (from.y + to.y) / 2 };
  const drawn = [line(from, to, { class: "link", "data-medium": medium, "data-link": status === "UP" ? null : status })];
  const [across, down] = [Math.abs(to.x - from.x), Math.abs(to.y - from.y)];
  if (status !== "UP") {
    drawn.push(s("circle", { class: "mark", "data-link": status, cx: px(middle.x), cy: px(middle.y), r: 8 }));
    drawn.push(s("text", { class: "sign", x: px(middle.x), y: px(middle.y) + 4 }, { LOST: "✕", DEGRADED: "!", ONE_WAY: "→" }[status]));
  } else if (size !== null && medium !== "UNKNOWN" && (down > size.height || across > size.width + LABEL)) {
    // The middles of two diagonals are the same point.
    const share = across > 1 && down > 1 ? 0.4 : 0.5;
    drawn.push(s("text", { class: "name", x: px(from.x + (to.x - from.x) * share), y: px(from.y + (to.y - from.y) * share) + 4 }, MEDIA[medium]));
  }
  return drawn;
}

function link(node, show, ...children) {
  const open = (event) => {
    event.preventDefault();
    show(node.id);
  };
  const title = s("title");
  const element = s("a", { class: "place", href: `#node-${node.id}`, "data-place": node.id, "data-status": node.status, click: open }, title, children);
  return {
    element,
    describe(now) {
      const words = nodeWords(now);
      if (title.textContent !== words) title.textContent = words;
    },
  };
}

function box({ box: { width, height } }, { x, y }, node, instances, show) {
  const left = x - width / 2;
  const top = y - height / 2;
  const inner = width - 16;
  const used = s("rect", { class: "used", x: px(left + 8), y: px(top + 25), height: 7, rx: 3, width: 0 });
  const figures = s("text", { class: "small", x: px(left + 8), y: px(top + 46) });
  const chips = s("g", { transform: `translate(${px(left + 8)} ${px(top + 54)})` });
  fillChips(chips, instances, Math.floor(inner / 18), (chip, number) => chip.setAttribute("transform", `translate(${number * 18} 0)`));
  const drawn = link(
    node, show,
    s("rect", { class: "body", x: px(left), y: px(top), width: px(width), height, rx: 9 }),
    s("text", { class: "title", x: px(left + 8), y: px(top + 18) }, cut(label(node), Math.floor(inner / CHARACTER))),
    s("rect", { class: "whole", x: px(left + 8), y: px(top + 25), height: 7, rx: 3, width: px(inner) }),
    used, figures, chips,
  );
  return {
    element: drawn.element,
    update(now) {
      used.setAttribute("width", px((inner * (now.ramUsedPercent ?? 0)) / 100));
      const memory = now.ramTotalGb === null ? "memory unknown" : `${amount(now.ramUsedGb, "")} of ${amount(now.ramTotalGb, "GiB")}`;
      const short = [amount(now.gpuUsagePercent, "%"), amount(now.temperatureC, "°C"), width > 140 ? amount(now.powerWatts, "W") : null].filter(Boolean).join(" · ");
      const words = short === "" ? memory : short;
      if (figures.textContent !== words) figures.textContent = words;
      drawn.describe(now);
    },
  };
}

function fillChips(group, instances, most, move) {
  for (const [number, { colour, number: name }] of instances.slice(0, most).entries()) {
    const chip = s("g", {}, s("rect", { class: "chip", "data-colour": colour, width: 15, height: 13, rx: 3 }), s("text", { class: "number", x: 7.5, y: 10 }, String(name)));
    move(chip, number);
    group.append(chip);
  }
}

function dot({ dot: radius }, { x, y, angle }, node, instances, show) {
  const rim = Math.max(1, radius - 2);
  const around = 2 * Math.PI * rim;
  const used = s("circle", { class: "arc", cx: px(x), cy: px(y), r: px(rim), transform: `rotate(-90 ${px(x)} ${px(y)})` });
  const turned = Math.cos(angle) < -0.001;
  const degrees = (angle * 180) / Math.PI + (turned ? 180 : 0);
  const name = s(
    "text",
    { class: "around", x: turned ? -radius - 5 : radius + 5, y: 4, "text-anchor": turned ? "end" : "start", transform: `translate(${px(x)} ${px(y)}) rotate(${px(degrees)})` },
    cut(label(node), MOST_CHARACTERS),
  );
  const chips = s("g");
  const scale = Math.min(1, radius / 8);
  fillChips(chips, instances, 3, (chip, number) => {
    const inwards = radius + (12 + number * 17) * scale;
    const middle = { x: x - Math.cos(angle) * inwards - 7.5 * scale, y: y - Math.sin(angle) * inwards - 6.5 * scale };
    chip.setAttribute("transform", `translate(${px(middle.x)} ${px(middle.y)}) scale(${Math.round(scale * 100) / 100})`);
  });
  const drawn = link(node, show, s("circle", { class: "body", cx: px(x), cy: px(y), r: px(radius) }), used, name, chips);
  return {
    element: drawn.element,
    update(now) {
      used.setAttribute("stroke-dasharray", `${px((around * (now.ramUsedPercent ?? 0)) / 100)} ${px(around)}`);
      drawn.describe(now);
    },
  };
}
