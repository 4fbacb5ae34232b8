// The windows of a schedule in a form: a row of fields for each, which can be added and removed.

import { attribute, h } from "./dom.js";
import { cronOf, DAY_CHOICES, simple } from "./schedule.js";

const OWN_ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;
const CRON = "cron";
const NEW = { cron: "0 23 * * *", durationMinutes: 420, timeZone: OWN_ZONE, readyBy: false };

/** `values()` are the windows as the mutation takes them; `changed()` is called at each change of one. */
export function windowForm(changed) {
  const rows = h("div", { class: "windows" });
  const always = h("p", { class: "facts" }, "No windows: the model is wanted at all times.");
  const zones = h("datalist", { id: "time-zones" }, Intl.supportedValuesOf("timeZone").map((value) => h("option", { value })));
  const add = h("button", { type: "button", click: () => insert(NEW).focus() }, "Add a window");
  let fields = [];

  function insert(window) {
    const row = windowRow(window, changed, () => remove(row));
    fields.push(row);
    rows.append(row.element);
    updated();
    return row;
  }

  function remove(row) {
    fields = fields.filter((each) => each !== row);
    row.element.remove();
    updated();
    add.focus(); // the focused button is gone
  }

  function updated() {
    always.hidden = fields.length > 0;
    fields.forEach(({ element }, index) => attribute(element, "aria-label", `Window ${index + 1}`));
    changed();
  }

  return {
    element: h("fieldset", {}, h("legend", {}, "Schedule"), always, rows, h("p", {}, add), zones),
    fill(windows) {
      fields = [];
      rows.replaceChildren();
      for (const window of windows) insert(window);
      updated();
    },
    values: () => fields.map((row) => row.value()),
  };
}

function windowRow(window, changed, remove) {
  const known = simple(window.cron);
  const choices = [...DAY_CHOICES, [CRON, "By a cron line"]].map(([value, words]) => h("option", { value }, words));
  const days = h("select", { change: choose }, choices);
  const time = h("input", { type: "time", required: true, value: known?.time ?? "23:00" });
  const cron = h("input", { type: "text", required: true, value: window.cron, title: "Minute, hour, day of the month, month, day of the week", spellcheck: "false", autocomplete: "off" });
  const hours = h("input", { type: "number", min: 0, required: true, value: Math.floor(window.durationMinutes / 60) });
  const minutes = h("input", { type: "number", min: 0, max: 59, required: true, value: window.durationMinutes % 60 });
  const zone = h("input", { type: "text", required: true, value: window.timeZone, list: "time-zones", spellcheck: "false" });
  const readyBy = h("input", { type: "checkbox", checked: window.readyBy });
  const at = h("label", {}, "Opens at", time);
  const line = h("label", {}, "Cron line", cron);
  const element = h(
    "fieldset",
    { input: changed },
    h("label", {}, "Days", days),
    at,
    line,
    h("label", {}, "Open for hours", hours),
    h("label", {}, "and minutes", minutes),
    h("label", { class: "zone" }, "Time zone", zone),
    h("label", { class: "tick" }, readyBy, h("span", {}, "Loaded early, to be ready when it opens")),
    h("button", { type: "button", click: remove }, "Remove"),
  );
  days.value = known === null ? CRON : known.days;

  function choose() {
    const byLine = days.value === CRON;
    if (byLine && time.value !== "") cron.value = cronOf("*", time.value);
    show(byLine);
  }

  // What is hidden must not be required: a browser refuses to submit, and cannot say why.
  function show(byLine) {
    at.hidden = time.disabled = byLine;
    line.hidden = cron.disabled = !byLine;
  }

  show(known === null);
  return {
    element,
    focus: () => days.focus(),
    value: () => ({
      cron: days.value === CRON ? cron.value.trim() : cronOf(days.value, time.value),
      durationMinutes: hours.valueAsNumber * 60 + minutes.valueAsNumber,
      timeZone: zone.value.trim(),
      readyBy: readyBy.checked,
    }),
  };
}
