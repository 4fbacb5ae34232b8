// The result of a mutation that no section of the page shows: why it was refused, or which deployments it has paused.

import { attribute, h } from "./dom.js";
import { when } from "./format.js";
import { mutate } from "./mutate.js";
import { refusal } from "./refusal.js";

const notice = document.getElementById("notice");
const message = refusal(null); // without a role: the notice itself is the alert
notice.append(message.element, h("button", { type: "button", click: hideNotice }, "Dismiss"));

export function hideNotice() {
  notice.hidden = true;
  message.clear();
}

/** Shows why something was refused; with another tone what else is to be known. */
export function show(error, tone = "bad") {
  attribute(notice, "data-tone", tone);
  message.show(error);
  notice.hidden = false;
}

/** Says which deployments a mutation has paused, and until when. */
export function showPaused(paused) {
  if (paused.length === 0) return;
  const list = paused.map(({ name, pausedUntil }) => `${name} (until ${when(pausedUntil) ?? "you resume it"})`).join(", ");
  show(
    {
      message: `This has paused ${paused.length === 1 ? "the deployment" : "the deployments"} ${list}.`,
      suggestion: "While a deployment is paused, nothing is loaded, unloaded or downloaded for it.",
    },
    "wait",
  );
}

/** Sends a mutation. Returns its payload; null if it was refused, which the notice then says. */
export async function attempt(document, variables) {
  hideNotice();
  try {
    const payload = await mutate(document, variables);
    if (payload.error === null) return payload;
    show(payload.error);
  } catch (error) {
    show(error);
  }
  return null;
}
