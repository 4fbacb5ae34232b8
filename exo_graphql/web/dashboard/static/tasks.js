// The tasks of the loaded models: requests, and exo's own work.

import { attribute, h, section, text } from "./dom.js";
import { words } from "./format.js";

export function taskSection() {
  const update = section("tasks", (task) => task.id, taskRow);
  return (cluster) => update(cluster.tasks);
}

function taskRow(first) {
  const title = h("h3", {}, words(first.kind));
  const model = h("p", { class: "facts" });
  const status = h("span", { class: "badge" });
  const element = h("li", { class: "row", "data-task": first.id }, h("div", { class: "head" }, title, status, model));
  return {
    element,
    update(task) {
      attribute(element, "data-status", task.status);
      attribute(element, "data-active", task.active);
      text(status, words(task.status));
      text(model, task.model === null ? "of a removed model" : task.model.name);
    },
  };
}
