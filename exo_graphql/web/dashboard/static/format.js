// Figures and names in words. null in, null out: what is unknown is for the page to mark, never 0.

const number = (digits) => new Intl.NumberFormat("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const DIGITS = [number(0), number(1)];
const clock = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** A figure with its unit. */
export function amount(value, unit, digits = 0) {
  return value === null || value === undefined ? null : `${DIGITS[digits].format(value)} ${unit}`.trimEnd();
}

/** So much of so much, in GiB. */
export function part(done, whole) {
  if (done === null || whole === null) return amount(done ?? whole, "GiB", 1);
  return `${DIGITS[1].format(done)} of ${amount(whole, "GiB", 1)}`;
}

/** Seconds as people say them: 42 s, 3 min 20 s, 1 h 5 min. */
export function duration(seconds) {
  if (seconds === null) return null;
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** Seconds between two moments of the server; null while the second is not there. */
export function between(start, end) {
  return start === null || end === null ? null : (Date.parse(end) - Date.parse(start)) / 1000;
}

/** A moment as the time of day here. */
export function time(moment) {
  return moment === null ? null : clock.format(new Date(moment));
}

/** 1 node, 2 nodes. */
export function count(value, noun) {
  return `${value} ${noun}${value === 1 ? "" : "s"}`;
}

/** What people call a node; a node that has not told its name, by the beginning of its id. */
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

/** How a model is divided, and by which engine. */
export function manner({ sharding, instanceType }) {
  return [SHARDINGS[sharding] ?? "Divided in an unknown way", ENGINES[instanceType]].filter(Boolean).join(" ");
}
