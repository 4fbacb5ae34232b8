// The dialog that creates a deployment or changes one. Its plan is shown first, by a dry run; then it can be applied.

import { catalogue } from "./catalogue.js";
import { formDialog } from "./confirm.js";
import { APPLY } from "./documents.js";
import { attribute, h, keyed, say, text } from "./dom.js";
import { amount, label } from "./format.js";
import { mutate } from "./mutate.js";
import { planView } from "./plan.js";
import { refusal } from "./refusal.js";
import { windowForm } from "./window_form.js";

const SHARDINGS = [["AUTO", "Any"], ["PIPELINE", "Pipeline"], ["TENSOR", "Tensor"]];
const ENGINES = [["AUTO", "Any"], ["MLX_RING", "Sockets (ring)"], ["MLX_JACCL", "RDMA (JACCL)"]];
const FRESH = {
  name: "", generation: 0, replicas: 1, minNodes: 1, nodes: null, priority: 0, schedule: [], idleUnloadSeconds: null,
  drainSeconds: 30, sharding: "AUTO", instanceType: "AUTO", state: null,
};

export class DeploymentDialog {
  constructor() {
    this.dialog = document.getElementById("deployment-dialog");
    this.cluster = null;
    this.sending = false;
    this.generation = 0;
    this.nodes = new Set();
    const changed = () => this.#changed();
    const number = (min, max) => h("input", { type: "number", min, max, required: true });
    const select = (choices) => h("select", {}, choices.map(([value, words]) => h("option", { value }, words)));
    this.title = h("h2", { id: "deployment-dialog-title" });
    this.name = h("input", {
      type: "text", required: true, maxlength: 63, pattern: "[A-Za-z0-9]([A-Za-z0-9._\\-]*[A-Za-z0-9])?", autocomplete: "off",
      spellcheck: "false", title: "Letters, digits, hyphens, dots and underscores",
    });
    this.catalogue = catalogue(changed);
    this.windows = windowForm(changed);
    this.replicas = number(1, 32);
    this.priority = number(-1_000_000, 1_000_000);
    this.minNodes = number(1);
    this.drain = number(0, 3600);
    this.idle = h("input", { type: "number", min: 60 });
    this.sharding = select(SHARDINGS);
    this.engine = select(ENGINES);
    this.places = h("ul", { role: "list" });
    this.updatePlaces = keyed(this.places, ({ value }) => value, (place) => this.#place(place));
    this.pausing = h("p", { class: "facts" });
    this.hint = h("p", { class: "facts", role: "status" });
    this.plan = planView();
    this.refusal = refusal();
    this.submit = h("button", { class: "primary" });
    formDialog(this.dialog, this.title, this.submit, () => this.#submit(), [
      h("label", { class: "wide" }, "Name", this.name),
      this.catalogue.element,
      h("div", { class: "numbers" }, h("label", {}, "Replicas", this.replicas), h("label", {}, "Priority", this.priority)),
      this.windows.element,
      h(
        "details",
        { class: "options" },
        h("summary", {}, "Nodes and other settings"),
        h("fieldset", { class: "ticks" }, h("legend", {}, "Exactly these nodes (none selected: any that fit)"), this.places),
        h(
          "div",
          { class: "numbers" },
          h("label", {}, "Minimum number of nodes", this.minNodes),
          h("label", {}, "Sharding", this.sharding),
          h("label", {}, "Communication", this.engine),
          h("label", {}, "Seconds to wait for running requests", this.drain),
          h("label", {}, "Unload after seconds without requests (empty: never)", this.idle),
        ),
      ),
      this.pausing,
      this.hint,
      this.plan.element,
      this.refusal.element,
    ]);
    this.dialog.addEventListener("input", changed);
  }

  /** Opens the dialog for a new deployment, or for one that exists. */
  open(deployment = null) {
    const given = deployment ?? FRESH;
    this.generation = given.generation;
    text(this.title, deployment === null ? "New deployment" : `Edit ${given.name}`);
    this.name.value = given.name;
    this.name.readOnly = deployment !== null; // another name is another deployment
    this.replicas.value = given.replicas;
    this.priority.value = given.priority;
    this.minNodes.value = given.minNodes;
    this.drain.value = given.drainSeconds;
    this.idle.value = given.idleUnloadSeconds ?? "";
    this.sharding.value = given.sharding;
    this.engine.value = given.instanceType;
    this.nodes = new Set(given.nodes ?? []);
    text(this.pausing, given.state === "PAUSED" ? "It is paused. Applying it ends the pause." : "");
    this.windows.fill(given.schedule);
    this.#fill();
    this.dialog.showModal();
    this.catalogue.open(deployment?.model);
    this.#changed();
    if (deployment === null) this.name.focus();
  }

  /** Takes the newest state. While the dialog is open, a plan is withdrawn when instances come or go. */
  update(cluster) {
    const before = this.#loaded();
    this.cluster = cluster;
    if (!this.dialog.open) return;
    this.#fill();
    if (before === this.#loaded() || !this.planned) return;
    this.#changed();
    say(this.hint, "Loaded models have changed since. Preview again.");
  }

  #loaded() {
    return this.cluster?.models.flatMap(({ instances }) => instances.map(({ id }) => id)).join() ?? "";
  }

  #fill() {
    // By name, since ids change when exo is started again; a node that is not there now keeps its tick.
    const known = new Map((this.cluster?.nodes ?? []).map((node) => [node.friendlyName ?? node.id, node]));
    const values = new Set([...known.keys(), ...this.nodes]);
    this.updatePlaces([...values].map((value) => ({ value, node: known.get(value) ?? null })));
  }

  #place({ value }) {
    const words = h("span");
    const box = h("input", { type: "checkbox", value, change: () => this.nodes[box.checked ? "add" : "delete"](value) });
    return {
      element: h("li", {}, h("label", { class: "tick" }, box, words)),
      update: ({ node }) => {
        box.checked = this.nodes.has(value);
        const free = node === null ? "not in the cluster now" : amount(node.ramAvailableGb, "GiB free", 1) ?? "memory unknown";
        text(words, `${node === null ? value : label(node)}, ${free}`);
      },
    };
  }

  #changed() {
    this.planned = false;
    this.plan.show(null);
    this.refusal.clear();
    say(this.hint, this.catalogue.chosen === null ? "Choose a model." : "");
    this.submit.disabled = this.catalogue.chosen === null;
    text(this.submit, "Preview plan");
  }

  #values() {
    return {
      name: this.name.value,
      model: this.catalogue.chosen.id,
      replicas: this.replicas.valueAsNumber,
      minNodes: this.minNodes.valueAsNumber,
      sharding: this.sharding.value,
      instanceType: this.engine.value,
      nodes: this.nodes.size > 0 ? [...this.nodes] : null,
      priority: this.priority.valueAsNumber,
      schedule: this.windows.values(),
      idleUnloadSeconds: this.idle.value === "" ? null : this.idle.valueAsNumber,
      drainSeconds: this.drain.valueAsNumber,
      // Only what was shown here is changed; a new one replaces none.
      ifGeneration: this.generation,
    };
  }

  async #submit() {
    if (this.sending) return;
    this.sending = true; // not disabled, which would lose the focus
    attribute(this.submit, "aria-busy", "true");
    this.refusal.clear();
    const dryRun = !this.planned;
    const values = this.#values();
    try {
      const payload = await mutate(APPLY, { ...values, dryRun });
      if (payload.error !== null) this.refusal.show(payload.error);
      else if (!dryRun) this.dialog.close();
      // What was typed meanwhile is not in this plan.
      else if (JSON.stringify(values) === JSON.stringify(this.#values())) {
        this.planned = true;
        this.plan.show(payload);
        text(this.submit, "Apply");
      }
    } catch (error) {
      this.refusal.show(error);
    } finally {
      this.sending = false;
      attribute(this.submit, "aria-busy", null);
    }
  }
}
