// The dialog for a load or a swap: which model, what to unload for it, where. It shows the plan, and applies that plan.

import { catalogue } from "./catalogue.js";
import { formDialog } from "./confirm.js";
import { APPLY_PLAN } from "./documents.js";
import { attribute, h, keyed, text } from "./dom.js";
import { amount, label } from "./format.js";
import { mutate } from "./mutate.js";
import { hideNotice, showPaused } from "./notice.js";
import { preview } from "./preview.js";
import { refusal } from "./refusal.js";

export class LoadDialog {
  /** `started(id)` is called with the id of the operation that the request has started. */
  constructor(started) {
    this.started = started;
    this.dialog = document.getElementById("load-dialog");
    this.cluster = null;
    this.sending = false;
    this.unload = new Set();
    this.nodes = new Set();
    this.title = h("h2", { id: "load-dialog-title" });
    this.catalogue = catalogue(() => this.#changed());
    this.preview = preview((models) => this.#unloadToo(models));
    this.refusal = refusal();
    this.leaving = h("ul", { role: "list" });
    this.places = h("ul", { role: "list" });
    this.instead = h("fieldset", { class: "ticks" }, h("legend", {}, "Unload in exchange"), this.leaving);
    this.minNodes = h("input", { type: "number", min: 1, value: 1, name: "minNodes", change: () => this.#changed() });
    this.additional = h("input", { type: "checkbox", name: "additional", change: () => this.#changed() });
    this.another = h("label", { class: "tick" }, this.additional, "Load another copy");
    this.submit = h("button", { class: "primary" });
    this.updateLeaving = keyed(this.leaving, ({ id }) => id, (model) =>
      tick(this.unload, model.id, () => this.#changed(), () => `${model.name} ${amount(model.storageSizeGb, "GiB", 1) ?? ""}`),
    );
    this.updatePlaces = keyed(this.places, ({ id }) => id, (node) =>
      tick(this.nodes, node.id, () => this.#changed(), (now) => `${label(now)}, ${amount(now.ramAvailableGb, "GiB free", 1) ?? "memory unknown"}`),
    );
    formDialog(this.dialog, this.title, this.submit, () => this.#submit(), [
      this.catalogue.element,
      this.instead,
      h(
        "details",
        { class: "options" },
        h("summary", {}, "Nodes"),
        h("label", { class: "number" }, "Minimum number of nodes", this.minNodes),
        h("fieldset", { class: "ticks" }, h("legend", {}, "Exactly these nodes (none selected: any that fit)"), this.places),
      ),
      this.another,
      this.preview.element,
      this.refusal.element,
    ]);
  }

  /** Opens the dialog; `unload` are the ids of models to unload for the new one. */
  open({ unload = [] } = {}) {
    this.unload.clear();
    this.nodes.clear();
    for (const id of unload) this.unload.add(id);
    this.minNodes.value = 1;
    this.additional.checked = false;
    this.#fill();
    this.#changed();
    this.dialog.showModal();
    this.catalogue.open();
  }

  /** Takes the newest state. While the dialog is open, the plan is requested again when instances come or go. */
  update(cluster) {
    const before = this.#loaded();
    this.cluster = cluster;
    this.preview.follow(cluster);
    if (!this.dialog.open) return;
    this.#fill();
    // A refusal stays: it is of a request, and that may be what has changed the state.
    if (before !== this.#loaded()) this.#show(true);
  }

  #loaded() {
    return this.cluster?.models.flatMap(({ instances }) => instances.map(({ id }) => id)).join() ?? "";
  }

  #fill() {
    const { models, nodes } = this.cluster ?? { models: [], nodes: [] };
    for (const id of this.unload) if (!models.some((model) => model.id === id)) this.unload.delete(id);
    for (const id of this.nodes) if (!nodes.some((node) => node.id === id)) this.nodes.delete(id);
    this.updateLeaving(models);
    this.updatePlaces(nodes);
    this.instead.hidden = models.length === 0;
  }

  #changed() {
    this.refusal.clear();
    this.#show();
  }

  #show(again = false) {
    const swap = this.unload.size > 0;
    const model = this.catalogue.chosen;
    text(this.title, swap ? "Swap models" : "Load a model");
    text(this.submit, swap ? "Swap" : "Load");
    this.submit.disabled = model === null;
    this.another.hidden = swap || model === null || !this.cluster?.models.some(({ id }) => id === model.id);
    this.preview.ask(model === null ? null : this.#request(model), again);
  }

  #request(model) {
    return {
      model,
      load: [model.id],
      unload: [...this.unload],
      minNodes: Math.max(1, this.minNodes.valueAsNumber || 1),
      nodes: this.nodes.size > 0 ? [...this.nodes] : null,
      additional: !this.another.hidden && this.additional.checked,
    };
  }

  /** Takes over the server's suggestion of what to unload so that it fits. */
  #unloadToo(models) {
    for (const { id } of models) this.unload.add(id);
    this.#fill();
    this.#changed();
    this.submit.focus();
  }

  async #submit() {
    if (this.sending) return;
    this.sending = true; // not disabled, which would lose the focus
    attribute(this.submit, "aria-busy", "true");
    this.refusal.clear();
    hideNotice();
    try {
      await this.#apply();
    } catch (error) {
      this.refusal.show(error);
    } finally {
      this.sending = false;
      attribute(this.submit, "aria-busy", null);
    }
  }

  async #apply() {
    const seen = this.preview.plan;
    const plan = seen ?? (await this.preview.settled());
    // What would be refused is said already. What unloads something has to be seen first.
    if (plan === null || plan.error !== null || (seen === null && plan.unloads.length > 0)) return;
    const { operation, paused, error } = await mutate(APPLY_PLAN, { hash: plan.hash });
    if (operation === null) {
      this.refusal.show(error);
      this.#show(true);
      return;
    }
    this.dialog.close();
    showPaused(paused);
    this.started(operation.id);
  }
}

/** A row with a checkbox that adds `value` to a set and removes it. */
function tick(set, value, changed, label) {
  const name = h("span");
  const box = h("input", {
    type: "checkbox",
    value,
    change: () => {
      if (box.checked) set.add(value);
      else set.delete(value);
      changed();
    },
  });
  return {
    element: h("li", {}, h("label", { class: "tick" }, box, name)),
    update(item) {
      text(name, label(item));
      box.checked = set.has(value);
    },
  };
}
