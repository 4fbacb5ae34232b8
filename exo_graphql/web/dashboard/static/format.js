// Formats figures and names. null in, null out: the caller marks what is unknown, it is never 0.

const number = (digits) => new Intl.NumberFormat("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const DIGITS = [number(0), number(1)];
const clock = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const minutes = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short" });

/** A figure with its unit. */
export function amount(value, unit, digits = 0) {
  return value === null || value === undefined ? null : `${DIGITS[digits].format(value)} ${unit}`.trimEnd();
}

/** A part of a whole, in GiB: 1.5 of 4.0 GiB. */
export function part(done, whole) {
  if (done === null || whole === null) return amount(done ?? whole, "GiB", 1);
  return `${DIGITS[1].format(done)} of ${amount(whole, "GiB", 1)}`;
}

/** Seconds as a duration: 42 s, 3 min 20 s, 1 h 5 min. */
export function duration(seconds) {
  if (seconds === null) return null;
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** Seconds between two times of the server; null if one is missing. */
export function between(start, end) {
  return start === null || end === null ? null : (Date.parse(end) - Date.parse(start)) / 1000;
}

/** A time of the server as local time to the second; with its date where that is not today's. */
export function time(moment) {
  return moment === null ? null : dated(new Date(moment), clock);
}

/** The same to the minute: Fri 27 Nov 06:00. */
export function when(moment) {
  return moment === null ? null : dated(new Date(moment), minutes);
}

/** The local date: Fri 27 Nov. */
export function date(moment) {
  return day.format(new Date(moment)).replace(",", "");
}

function dated(moment, format) {
  const today = moment.toDateString() === new Date().toDateString();
  return today ? format.format(moment) : `${date(moment)} ${format.format(moment)}`;
}

/** 1 node, 2 nodes. */
export function count(value, noun) {
  return `${value} ${noun}${value === 1 ? "" : "s"}`;
}

/** The name of a node; if it has reported none, the beginning of its id. */
export function label(node) {
  if (node === null) return "a node that has left";
  return node.friendlyName ?? `unnamed ${node.id.slice(0, 8)}`;
}

export function labels(nodes) {
  return nodes.map(label).join(", ");
}

export function names(models) {
  return models.map((model) => model.name).join(", ");
}

/** An enum value as words: WARMING_UP is "warming up". */
export function words(value) {
  return value.toLowerCase().replaceAll("_", " ");
}

const SHARDINGS = { PIPELINE: "Pipeline", TENSOR: "Tensor", CFG: "CFG" };
const ENGINES = { MLX_RING: "over sockets (ring)", MLX_JACCL: "over RDMA (JACCL)" };

/** How a model is divided and how its runners communicate: Pipeline over sockets (ring). */
export function manner({ sharding, instanceType }) {
  return [SHARDINGS[sharding] ?? "Unknown sharding", ENGINES[instanceType]].filter(Boolean).join(" ");
}
