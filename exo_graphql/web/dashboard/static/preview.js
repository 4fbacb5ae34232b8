// The preview of a load: each possible placement with the memory of each node before and after, or why it does not fit.

import { PLACEMENTS } from "./documents.js";
import { attribute, bar, h, keyed, say, text } from "./dom.js";
import { amount, label, manner } from "./format.js";
import { ask } from "./request.js";

const AUTOMATIC = { sharding: "AUTO", instanceType: "AUTO" };

/** `kind` is the chosen placement, `{ sharding, instanceType }`, as the mutation takes it. */
export function preview() {
  const status = h("p", { class: "facts", role: "status" });
  const ways = h("ul", { class: "ways", role: "list" });
  const update = keyed(ways, keyOf, (placement) => way(placement, choose));
  const radio = h("input", { type: "radio", name: "way", checked: true, change: () => choose(AUTOMATIC) });
  const automatic = h("label", { class: "tick" }, radio, h("span", {}, "Automatic: the best one that fits"));
  let newest = null;

  const self = {
    kind: AUTOMATIC,
    element: h("fieldset", { class: "preview" }, h("legend", {}, "Preview"), status, automatic, ways),
    /** Shows the placements for `variables` (null: none). `follows`: the model is loaded, nothing would be placed. */
    async ask(variables, follows) {
      newest?.abort();
      const controller = (newest = new AbortController());
      self.element.hidden = variables === null;
      if (variables === null) return show([], "");
      if (follows) return show([], "It is already loaded. Nothing would be placed: the operation follows the existing instance.");
      attribute(ways, "aria-busy", "true");
      try {
        const { placements } = await ask(PLACEMENTS, variables, controller.signal);
        const hint = "It does not fit now. Load anyway: the server then suggests which models to unload.";
        show(placements, placements.some(({ fits }) => fits) ? "" : hint);
      } catch (error) {
        if (error.name !== "AbortError") show([], [error.message, error.suggestion].filter(Boolean).join(" "));
      }
    },
  };

  function choose(kind) {
    self.kind = kind;
  }

  function show(placements, message) {
    attribute(ways, "aria-busy", null);
    say(status, message);
    automatic.hidden = !placements.some(({ fits }) => fits);
    update(placements);
    const chosen = placements.find((placement) => keyOf(placement) === keyOf(self.kind));
    if (!chosen?.fits) {
      choose(AUTOMATIC);
      radio.checked = true;
    }
  }

  return self;
}

function keyOf({ sharding, instanceType }) {
  return `${sharding} ${instanceType}`;
}

function way(first, choose) {
  const kind = { sharding: first.sharding, instanceType: first.instanceType };
  const radio = h("input", { type: "radio", name: "way", value: keyOf(first), change: () => choose(kind) });
  const verdict = h("span", { class: "badge" });
  const reason = h("p", { class: "facts" });
  const nodes = h("ul", { role: "list" });
  const update = keyed(nodes, ({ node }) => node?.id ?? "", place);
  const element = h("li", { "data-way": keyOf(first) }, h("label", { class: "tick" }, radio, h("span", {}, manner(first)), verdict), reason, nodes);
  return {
    element,
    update(placement) {
      radio.disabled = !placement.fits;
      attribute(element, "data-fits", String(placement.fits));
      text(verdict, placement.fits ? "fits" : "does not fit");
      text(reason, placement.reason);
      update(placement.nodes);
    },
  };
}

function place() {
  const name = h("span");
  const free = h("span");
  const before = bar("meter", "Memory in use before");
  const after = bar("meter", "Memory in use after");
  const element = h("li", {}, h("p", { class: "ends" }, name, free), before.element, after.element);
  return {
    element,
    update({ node, addedGb, availableGb }) {
      const total = node?.ramTotalGb ?? null;
      const now = node?.ramAvailableGb ?? null;
      const then = availableGb === null || addedGb === null ? null : Math.max(0, availableGb - addedGb);
      text(name, label(node));
      text(free, `${amount(now, "", 1) ?? "unknown"} → ${amount(then, "GiB free", 1) ?? "unknown"}`);
      const share = (gb) => (gb / total) * 100;
      for (const { element: each } of [before, after]) each.hidden = total === null || now === null || then === null;
      if (before.element.hidden) return;
      before.update(share(total - now), `${amount(now, "GiB", 1)} free`);
      after.update(share(total - then), `${amount(then, "GiB", 1)} free, ${amount(addedGb, "GiB", 1)} taken by the model`, [
        ["done", share(total - availableGb)],
        ["added", share(addedGb)],
      ]);
    },
  };
}
