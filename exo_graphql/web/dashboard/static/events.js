// The recent events. The live query says only which one is the newest: they are listed by a query of their own.

import { ACKNOWLEDGE, EVENTS } from "./documents.js";
import { attribute, h, keyed, text } from "./dom.js";
import { time, words } from "./format.js";
import { attempt } from "./notice.js";
import { refetcher } from "./refetch.js";
import { ask } from "./request.js";

const AT_FIRST = 12;

export function eventSection() {
  const root = document.getElementById("events");
  const recent = keyed(root.querySelector("ol"), ({ id }) => id, eventRow);
  const earlier = root.querySelector("details");
  const others = keyed(earlier.querySelector("ol"), ({ id }) => id, eventRow);
  const empty = root.querySelector(".empty");
  const refresh = refetcher(async () => {
    const { events } = await ask(EVENTS, {});
    recent(events.slice(0, AT_FIRST));
    others(events.slice(AT_FIRST));
    earlier.hidden = events.length <= AT_FIRST;
    empty.hidden = events.length > 0;
  });
  return ({ eventsVersion }, connection) => refresh(`${connection} ${eventsVersion}`);
}

function eventRow({ id, at, kind, severity, message, by }) {
  const seen = h("button", { type: "button", "data-operate": true, "aria-label": `Acknowledge: ${message}`, click: () => attempt(ACKNOWLEDGE, { event: id }) }, "Acknowledge");
  const note = h("span", { class: "facts" });
  const element = h(
    "li",
    { "data-event": kind, "data-severity": severity },
    h("time", { datetime: at }, time(at)),
    h("p", {}, severity === "INFO" ? null : h("span", { class: "unseen" }, `${words(severity)}: `), message),
    note,
    kind === "MODEL_LOST" ? seen : null,
  );
  return {
    element,
    update({ acknowledged }) {
      attribute(element, "data-acknowledged", acknowledged);
      seen.hidden = acknowledged;
      text(note, [by === null ? null : `by ${by}`, acknowledged ? "acknowledged" : null].filter(Boolean).join(", "));
    },
  };
}
