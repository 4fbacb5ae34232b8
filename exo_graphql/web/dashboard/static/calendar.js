// The next 14 days: which deployments are wanted when, what changes, what does not fit together, and where nothing is.

import { CALENDAR } from "./documents.js";
import { attribute, h, text } from "./dom.js";
import { count, date, when } from "./format.js";
import { ask } from "./request.js";

const DAYS = 14;

/**
 * The folded calendar below the deployments. It is requested when it is opened, and again when deployments, instances
 * or nodes have changed or a new day has begun: what is wanted then, or what fits together, may be different.
 */
export function calendarPart() {
  const root = document.querySelector("#deployments .calendar");
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const notes = h("ul", { class: "notes", role: "list" });
  const lanes = h("ul", { class: "lanes", role: "list", "aria-hidden": "true" }); // the list of changes says the same
  const changes = h("ol", { class: "changes" });
  const all = h("details", {}, h("summary", {}, "All changes"), changes);
  const status = h("p", { class: "facts", role: "status" });
  root.append(h("summary", {}, `Calendar: the next ${DAYS} days`), h("p", { class: "facts" }, `Times in ${zone}.`), status, lanes, notes, all);
  let cluster = null;
  let shown = null;
  let newest = null;

  async function refresh() {
    if (!root.open || root.hidden || cluster === null) return;
    const now = signature(cluster);
    if (now === shown) return;
    shown = now;
    newest?.abort();
    const controller = (newest = new AbortController());
    try {
      const { calendar } = await ask(CALENDAR, { from: new Date(new Date().setHours(0, 0, 0, 0)).toISOString() }, controller.signal);
      show(calendar);
    } catch (error) {
      if (error.name === "AbortError") return;
      shown = null; // requested again at the next change
      text(status, [error.message, error.suggestion].filter(Boolean).join(" "));
    }
  }

  function show(calendar) {
    const entries = withWanted(calendar, cluster.deployments);
    const ends = entries.at(-1).until;
    const whole = Date.parse(ends) >= new Date(entries[0].from).setDate(new Date(entries[0].from).getDate() + DAYS);
    text(status, whole ? "" : `There are very many changes: shown until ${when(ends)}.`);
    const models = new Map(cluster.deployments.map(({ name, model }) => [name, model.name]));
    lanes.replaceChildren(header(entries), ...rows(entries, cluster.deployments).map((row) => lane(row, entries)));
    notes.replaceChildren(...notesOf(entries).map(([kind, words]) => h("li", { "data-kind": kind }, words)));
    changes.replaceChildren(...entries.map((entry, index) => h("li", { "data-fits": String(entry.fitsTogether) }, changeOf(entry, index === 0, models))));
    attribute(root, "data-loaded", "true");
  }

  root.addEventListener("toggle", refresh);
  return (now) => {
    cluster = now;
    const hidden = now.deployments.length === 0;
    // With a schedule, the days matter most: unfold them.
    if (root.hidden && !hidden) root.open = now.deployments.some(({ schedule }) => schedule.length > 0);
    root.hidden = hidden;
    refresh();
  };
}

/** The entries, each with the names of the deployments that are `wanted` during it. */
function withWanted(entries, deployments) {
  const known = new Map();
  for (const { transition } of entries) {
    for (const { name } of transition.loads) if (!known.has(name)) known.set(name, false);
    for (const { name } of transition.unloads) if (!known.has(name)) known.set(name, true);
  }
  // One that the calendar never changes is wanted in all of it, or never.
  const atFirst = ({ name, schedule, wanted, openUntil }) => known.get(name) ?? (schedule.length === 0 || wanted || openUntil !== null);
  let wanted = new Set(deployments.filter(atFirst).map(({ name }) => name));
  return entries.map((entry) => {
    const [loads, unloads] = [entry.transition.loads, entry.transition.unloads].map((list) => list.map(({ name }) => name));
    wanted = new Set([...wanted].filter((name) => !unloads.includes(name)).concat(loads));
    return { ...entry, wanted, loads, unloads };
  });
}

/** What a calendar depends on. */
function signature({ deployments, models, nodes }) {
  return JSON.stringify([
    new Date().toDateString(),
    deployments.map(({ name, generation, operation, ownInstances }) => [name, generation, operation === null, ownInstances.length]),
    models.flatMap(({ instances }) => instances.map(({ id }) => id)),
    nodes.map(({ id }) => id),
  ]);
}

/** Where a time is between the begin and the end of the calendar, in percent. */
function position(moment, entries) {
  const [begin, end] = [Date.parse(entries[0].from), Date.parse(entries.at(-1).until)];
  return ((Date.parse(moment) - begin) / (end - begin)) * 100;
}

function header(entries) {
  const begin = new Date(entries[0].from);
  const end = Date.parse(entries.at(-1).until);
  const days = Array.from({ length: DAYS }, (_, index) => new Date(begin.getFullYear(), begin.getMonth(), begin.getDate() + index)).filter((day) => day < end);
  const cells = days.map((day) => {
    const [weekday, number] = date(day).split(" ");
    return h("span", {}, h("span", { class: "weekday" }, `${weekday} `), number);
  });
  const shown = h("div", {}, cells);
  // Where the calendar ends early, the last day is a part of one.
  const widths = days.map((day, index) => Math.min(end, days[index + 1]?.getTime() ?? end) - day);
  shown.style.setProperty("grid-template-columns", widths.map((width) => `minmax(0, ${width}fr)`).join(" "));
  return h("li", { class: "days" }, h("span"), shown);
}

/** The rows of the chart: what does not fit, where nothing is wanted, then each deployment: `[kind, name, holds]`. */
function rows(entries, deployments) {
  const all = [
    ["conflict", "does not fit", ({ fitsTogether }) => !fitsTogether],
    ["gap", "nothing wanted", (entry) => entry.wanted.size === 0],
    ...deployments.map(({ name }) => ["wanted", name, (entry) => entry.wanted.has(name)]),
  ];
  return all.filter(([kind, , holds]) => kind === "wanted" || entries.some(holds));
}

function lane([kind, name, holds], entries) {
  const track = h("div", { class: "track" });
  const days = (Date.parse(entries.at(-1).until) - Date.parse(entries[0].from)) / 86_400_000;
  track.style.setProperty("--days", days.toFixed(3)); // not always 14
  for (const [from, until] of spans(entries, holds)) {
    const bar = h("span", { class: kind, title: `${name}: ${when(from)} to ${when(until)}` });
    bar.style.setProperty("left", `${position(from, entries)}%`);
    bar.style.setProperty("width", `${position(until, entries) - position(from, entries)}%`);
    track.append(bar);
  }
  const now = h("span", { class: "now" });
  now.style.setProperty("left", `${position(new Date().toISOString(), entries)}%`);
  track.append(now);
  return h("li", { "data-lane": name }, h("span", { class: "name" }, name), track);
}

/** The times during which `holds` is true, each `[from, until]`. */
function spans(entries, holds) {
  const found = [];
  for (const entry of entries.filter(holds)) {
    if (found.at(-1)?.[1] === entry.from) found.at(-1)[1] = entry.until;
    else found.push([entry.from, entry.until]);
  }
  return found;
}

/** The entries that need attention: conflicts, gaps and daylight saving time, each `[kind, sentence]`. */
function notesOf(entries) {
  const found = [];
  const ahead = entries.filter(({ until }) => Date.parse(until) > Date.now());
  for (const reason of new Set(ahead.map((entry) => entry.reason).filter(Boolean))) {
    found.push(["conflict", `${times(spans(ahead, (entry) => entry.reason === reason))}: ${reason}`]);
  }
  const gaps = spans(ahead, (entry) => entry.wanted.size === 0);
  if (gaps.length > 0) found.push(["gap", `${times(gaps)}: nothing is wanted.`]);
  for (const { from, transition } of ahead) if (transition.note !== null) found.push(["note", `${when(from)}: ${transition.note}`]);
  return found;
}

function times(found) {
  const [from, until] = found[0];
  const more = found.length === 1 ? "" : `, and ${count(found.length - 1, "time")} more`;
  return `${when(from)} to ${when(until)}${more}`;
}

function changeOf(entry, first, models) {
  const called = (names) => [...names].map((name) => `${models.get(name) ?? "a model"} (${name})`).join(", ");
  const sentences = [
    !first && entry.unloads.length > 0 && `Unload ${called(entry.unloads)}.`,
    !first && entry.loads.length > 0 && `Load ${called(entry.loads)}.`,
    first && entry.wanted.size > 0 && `Wanted: ${called(entry.wanted)}.`,
    entry.wanted.size === 0 && "Nothing is wanted.",
    entry.reason && `Does not fit together: ${entry.reason}`,
    entry.transition.note,
  ];
  return [h("strong", {}, when(entry.from)), " ", sentences.filter(Boolean).join(" ")];
}
