// Where the topology's nodes, links and models are drawn. Pure: tested by calling it.

/** Beyond it, nodes are dots on a circle with their names around it, instead of boxes. */
export const MOST_BOXES = 8;
// Pixels.
const GAP = 6;
const BOX_HEIGHT = 74;
const CHARACTER = 6.6;
/** Characters of a name on the circle. */
export const MOST_CHARACTERS = 14;
const LARGEST_RADIUS = 200;
const LARGEST_DOT = 13;
// Half the height of the ellipse, by the number of boxes on it.
const HALF_HEIGHTS = [0, 0, 0, 95, 105, 130, 140, 195, 200];
const SLOW = ["UNKNOWN", "WIFI", "ETHERNET"];

/**
 * The places of `count` nodes in `width` pixels, where the longest name has `longest` characters: `{ width, height, dense, box: { width, height }, dot, places }`, each
 * place `{ x, y, angle }` with its centre and, on the circle, its direction in radians.
 */
export function layoutOf(count, width, longest = MOST_CHARACTERS) {
  return count <= MOST_BOXES ? boxesOf(count, width) : circleOf(count, width, longest);
}

function boxesOf(count, width) {
  const box = { width: Math.min(170, width * (count <= 4 ? 0.39 : 0.29)), height: BOX_HEIGHT };
  const halfWidth = Math.min(260, (width - box.width) / 2 - 2);
  const halfHeight = HALF_HEIGHTS[count];
  const height = 2 * halfHeight + box.height + 2 * GAP;
  // An even number begins beside the top: four nodes are a rectangle.
  const first = count === 2 ? Math.PI : -Math.PI / 2 + (count % 2 === 0 ? Math.PI / count : 0);
  const places = around(count, first, (angle) => ({
    x: width / 2 + (count === 1 ? 0 : halfWidth * stretched(Math.cos(angle), count)),
    y: height / 2 + halfHeight * stretched(Math.sin(angle), count),
    angle,
  }));
  return { width, height, dense: false, box, dot: 0, places };
}

/** On an ellipse, four are nearer to its middle than they need be, and eight would overlap at its ends. */
function stretched(share, count) {
  return count === 4 ? share * Math.SQRT2 : Math.sign(share) * Math.abs(share) ** 0.7;
}

function circleOf(count, width, longest) {
  const label = LARGEST_DOT + 8 + CHARACTER * Math.min(longest, MOST_CHARACTERS);
  const radius = Math.min(LARGEST_RADIUS, width / 2 - label);
  const height = 2 * (radius + label);
  const places = around(count, -Math.PI / 2, (angle) => ({
    x: width / 2 + radius * Math.cos(angle),
    y: height / 2 + radius * Math.sin(angle),
    angle,
  }));
  // Between neighbours there must be enough of their link to be seen.
  const dot = Math.min(LARGEST_DOT, ((Math.PI * radius) / count) * 0.65);
  return { width, height, dense: true, box: null, dot, places };
}

function around(count, first, place) {
  return Array.from({ length: count }, (_, number) => place(first + (2 * Math.PI * number) / count));
}

/**
 * Which links are drawn as lines of their own, and whether the others meet in one point: `{ lines, hub }`. Where five
 * or more nodes all reach each other over a network, a line for each two of them hides everything else; then `hub` is
 * the medium of these links, "NETWORK" if they differ, and null where there is no such network.
 */
export function linesOf(count, links) {
  const ordinary = links.filter(({ status, medium }) => status === "UP" && SLOW.includes(medium));
  const all = (count * (count - 1)) / 2;
  if (count < 5 || links.length < all || ordinary.length < count - 1) return { lines: links, hub: null };
  const media = new Set(ordinary.map(({ medium }) => medium));
  return { lines: links.filter((link) => !ordinary.includes(link)), hub: media.size === 1 ? [...media][0] : "NETWORK" };
}

/** The nodes of an instance in the order of its pipeline: their ids, each once. */
export function routeOf(instance) {
  const shards = instance.shards.filter(({ node }) => node !== null);
  const layered = shards.every(({ startLayer }) => startLayer !== null);
  const ordered = layered ? [...shards].sort((one, other) => one.startLayer - other.startLayer) : shards;
  return [...new Set(ordered.map(({ node }) => node.id))];
}

/** A name cut to `most` characters; its end stays, since names of nodes often differ there alone: Mac S…io 2. */
export function cut(name, most) {
  if (name.length <= most) return name;
  const end = Math.floor((most - 1) * 0.4);
  return `${name.slice(0, Math.max(1, most - 1 - end))}…${name.slice(name.length - end)}`;
}
