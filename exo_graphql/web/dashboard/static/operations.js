// Loads, unloads and swaps with their steps: those under way, and the last that ended.

import { attribute, bar, h, keyed, section, text } from "./dom.js";
import { between, duration, names, time, words } from "./format.js";

const ACTIVE = ["PENDING", "RUNNING"];
const FAILED = ["FAILED", "ROLLED_BACK"];
const SIGNS = { PENDING: "○", RUNNING: "◐", SUCCEEDED: "✓", FAILED: "✕", SKIPPED: "–" };
let awaited = null;

export function isActive(operation) {
  return ACTIVE.includes(operation.state);
}

/** What an operation does, in a few words. */
export function titleOf({ kind, loads, unloads }) {
  if (kind === "LOAD") return `Load ${names(loads)}`;
  if (kind === "UNLOAD") return `Unload ${names(unloads)}`;
  return `Swap ${names(unloads)} for ${names(loads)}`;
}

/** Scrolls to an operation and focuses it, as soon as it is shown. */
export function showOperation(id) {
  awaited = id;
  reveal();
}

export function operationSection(cancel) {
  const update = section("operations", (operation) => operation.id, (operation) => operationRow(operation, cancel));
  return (cluster) => {
    update(cluster.operations);
    reveal();
  };
}

function reveal() {
  const row = awaited === null ? null : document.querySelector(`[data-operation="${CSS.escape(awaited)}"]`);
  if (row === null) return;
  awaited = null;
  row.focus({ preventScroll: true });
  row.scrollIntoView({ block: "nearest" });
}

function operationRow(first, cancel) {
  const title = h("h3");
  const state = h("span", { class: "badge" });
  const stop = h(
    "button",
    { type: "button", "data-operate": true, "aria-label": `Cancel: ${titleOf(first)}`, click: () => cancel(first.id) },
    "Cancel",
  );
  const progress = bar("progressbar", `Progress: ${titleOf(first)}`);
  const message = h("p", { class: "message" });
  const failure = h("p", { class: "failure" });
  const hint = h("p", { class: "facts" });
  const when = h("p", { class: "facts" });
  const outcome = h("p", { class: "message" });
  const steps = h("ol", { class: "steps" });
  const updateSteps = keyed(steps, (step) => step.name, stepRow);
  const details = h("details", { open: isActive(first) }, h("summary", {}, "Steps"), outcome, steps);
  let wasActive = isActive(first);
  const element = h(
    "li",
    { class: "row", "data-operation": first.id, tabindex: -1 },
    h("div", { class: "head" }, title, state, when, h("div", { class: "acts" }, stop)),
    progress.element,
    message,
    failure,
    hint,
    details,
  );
  return {
    element,
    update(operation) {
      const active = isActive(operation);
      attribute(element, "data-state", operation.state);
      attribute(element, "data-ended", !active);
      // What has ended is one line, with its steps folded; why it has failed stays visible.
      if (wasActive && !active) details.open = false;
      wasActive = active;
      const failed = FAILED.includes(operation.state);
      const folded = !active && !failed;
      text(title, titleOf(operation));
      text(state, words(operation.state));
      stop.hidden = !active;
      progress.element.hidden = !active;
      progress.update(operation.progressPercent, operation.message);
      attribute(message, "class", failed ? "failure" : "message");
      text(message, folded ? "" : operation.message);
      text(outcome, folded ? operation.message : "");
      const { error } = operation;
      text(failure, error === null ? "" : differing(error.message, operation.message));
      text(hint, error?.suggestion);
      text(when, whenOf(operation));
      // The message of a running step is also the operation's message: it is shown once.
      updateSteps(operation.steps.map((step) => (step.message === operation.message ? { ...step, message: null } : step)));
    },
  };
}

function differing(message, shown) {
  return shown.includes(message) ? null : message;
}

function whenOf({ startedAt, finishedAt }) {
  const took = duration(between(startedAt, finishedAt));
  return took === null ? `since ${time(startedAt)}` : `${time(startedAt)}, took ${took}`;
}

function stepRow() {
  const sign = h("span", { class: "sign", "aria-hidden": "true" });
  const name = h("strong");
  const state = h("span", { class: "unseen" });
  const took = h("span", { class: "took" });
  const message = h("span", { class: "message" });
  const element = h("li", {}, sign, name, state, took, message);
  return {
    element,
    update(step) {
      attribute(element, "data-state", step.state);
      text(sign, SIGNS[step.state]);
      text(name, step.name);
      text(state, `: ${words(step.state)}.`);
      text(took, duration(between(step.startedAt, step.finishedAt)));
      text(message, step.message);
    },
  };
}
