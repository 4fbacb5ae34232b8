// What is wrong, first on the page: why the cluster is not healthy, which models were lost, what each URL of exo said.

import { secondsSince } from "./clock.js";
import { ACKNOWLEDGE } from "./documents.js";
import { attribute, h, keyed, text } from "./dom.js";
import { duration, time } from "./format.js";
import { attempt } from "./notice.js";

// A cluster of which half is gone has as many reasons as nodes: the first ones, and a line for the others.
const SHOWN = 8;

const banner = document.getElementById("banner");

/**
 * What the banner lists: `{ reasons, losses, exoErrors }`. `connection` describes a broken connection of this page, or
 * null. A loss and the error of a URL are also reasons of the server's: each is listed once, with more to it.
 */
export function wrongsOf(connection, cluster) {
  const losses = cluster?.losses ?? [];
  if (connection !== null) return { reasons: connection.reasons, losses, exoErrors: connection.exoErrors ?? [] };
  const { unhealthyReasons, exoErrors } = cluster;
  const shown = [
    // Also where it is still listed, and UNREACHABLE: the loss says since when.
    ...losses.flatMap(({ message, modelId }) => [message, `Model ${modelId} is UNREACHABLE`]),
    ...exoErrors.map(({ url, message }) => `${url}: ${message}`),
  ];
  return { reasons: unhealthyReasons.filter((reason) => !shown.some((each) => reason.startsWith(each))), losses, exoErrors };
}

/** The banner. `show(wrongs, tone, since, again)`: `since` is when the shown state was current, null if it is. */
export function bannerPart(retry) {
  const again = h("button", { type: "button", click: retry });
  const list = h("ul", { role: "list" });
  const more = h("p", { class: "facts" });
  const lost = h("ul", { class: "losses", role: "list", "aria-label": "Lost models" });
  const tried = h("ul", { class: "tried", role: "list", "aria-label": "Addresses of exo" });
  const reasons = keyed(list, (reason) => reason, (reason) => ({ element: h("li", {}, reason), update() {} }));
  const losses = keyed(lost, ({ id }) => id, lossRow);
  const urls = keyed(tried, ({ url }) => url, urlRow);
  const age = h("p", { class: "age" });
  banner.append(h("div", { class: "wrongs" }, list, more, lost, tried, age), again);
  let since = null;
  const showAge = () => {
    const ago = since === null ? null : duration(secondsSince(since));
    text(age, ago === null ? "" : `The shown state is from ${time(since)}, ${ago} ago.`);
    for (const each of document.querySelectorAll("[data-age]")) text(each, ago === null ? "" : `as of ${ago} ago`);
  };
  setInterval(showAge, 1000);
  return (wrongs, tone, current, label) => {
    reasons(wrongs.reasons.slice(0, SHOWN));
    list.hidden = wrongs.reasons.length === 0;
    text(more, wrongs.reasons.length > SHOWN ? `And ${wrongs.reasons.length - SHOWN} more like these.` : "");
    losses(wrongs.losses);
    lost.hidden = wrongs.losses.length === 0;
    urls(wrongs.exoErrors);
    tried.hidden = wrongs.exoErrors.length === 0;
    since = current;
    showAge();
    attribute(banner, "data-tone", tone);
    banner.hidden = wrongs.reasons.length + wrongs.losses.length + wrongs.exoErrors.length === 0;
    text(again, label);
  };
}

function lossRow({ id, at, message, modelId }) {
  const seen = h(
    "button",
    { type: "button", "data-operate": true, "aria-label": `Acknowledge the loss of ${modelId}`, click: () => attempt(ACKNOWLEDGE, { event: id }) },
    "Acknowledge",
  );
  return { element: h("li", { "data-loss": id }, h("p", {}, h("strong", {}, time(at)), ` ${message}`), seen), update() {} };
}

function urlRow() {
  const url = h("strong");
  const message = h("span");
  const suggestion = h("p", { class: "facts" });
  return {
    element: h("li", {}, url, ": ", message, suggestion),
    update(error) {
      text(url, error.url);
      text(message, error.message);
      text(suggestion, error.suggestion);
    },
  };
}
