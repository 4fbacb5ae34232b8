// The preview of a load or a swap: each possible placement with the memory of each node before and after, or why it does
// not fit; which one the server would choose; and what then happens.

import { PLAN } from "./documents.js";
import { attribute, bar, h, keyed, say, text } from "./dom.js";
import { amount, label, labels, manner } from "./format.js";
import { ask } from "./request.js";
import { whatIf } from "./what_if.js";

const AUTOMATIC = { sharding: "AUTO", instanceType: "AUTO" };
const ORDER = ["PIPELINE MLX_RING", "PIPELINE MLX_JACCL", "TENSOR MLX_RING", "TENSOR MLX_JACCL"];

/** `unloadToo(models)`: the user has accepted the suggestion to unload these as well. */
export function preview(unloadToo) {
  const status = h("p", { class: "facts", role: "status" });
  const ways = h("ul", { class: "ways", role: "list" });
  const update = keyed(ways, keyOf, (placement) => way(placement, choose));
  const radio = h("input", { type: "radio", name: "way", checked: true, change: () => choose(AUTOMATIC) });
  const name = h("span");
  const automatic = h("label", { class: "tick" }, radio, name);
  const happens = whatIf(unloadToo);
  let request = null;
  let kind = AUTOMATIC;
  let cluster = null;
  let newest = null;
  let answered = Promise.resolve();

  const self = {
    /** The plan that is shown; null while there is none. */
    plan: null,
    element: h("fieldset", { class: "preview" }, h("legend", {}, "Preview"), status, happens.element, automatic, ways),
    /**
     * Shows the plan of `{ model, load, unload, minNodes, nodes, additional }`; null shows none. It is placed as the server
     * chooses, until the user chooses; `again`: as the user has chosen.
     */
    ask(wanted, again) {
      request = wanted;
      choose(again ? kind : AUTOMATIC);
    },
    /** The plan, once it is known; null if the server gives none, or the user's choice had to be withdrawn. */
    async settled() {
      const chosen = kind;
      let waited;
      do {
        waited = answered;
        await waited;
      } while (waited !== answered);
      return kind === chosen ? self.plan : null;
    },
    /** Takes the newest state, for what the plan means now. */
    follow(now) {
      cluster = now;
      if (self.plan !== null) happens.show(self.plan, request.model, cluster, false);
    },
  };

  function choose(chosen) {
    kind = chosen;
    radio.checked = chosen === AUTOMATIC;
    answered = find();
  }

  async function find() {
    newest?.abort();
    const controller = (newest = new AbortController());
    self.plan = null;
    self.element.hidden = request === null;
    if (request === null) return show(null, "");
    attribute(ways, "aria-busy", "true");
    const { model, ...variables } = request;
    try {
      const { plan } = await ask(PLAN, { ...variables, ...kind }, controller.signal);
      // What was free has changed: the choice is withdrawn.
      if (plan.error !== null && kind !== AUTOMATIC) choose(AUTOMATIC);
      else show(named(plan, cluster), "");
    } catch (error) {
      if (error.name !== "AbortError") show(null, [error.message, error.suggestion].filter(Boolean).join(" "));
    }
  }

  function show(plan, message) {
    attribute(ways, "aria-busy", null);
    say(status, message);
    self.plan = plan;
    const [first] = plan?.error === null ? plan.placements : [];
    automatic.hidden = first === undefined;
    // Of a plan with the user's choice, the first placement is that choice.
    if (first !== undefined && kind === AUTOMATIC) text(name, `Automatic: ${manner(first)} on ${labels(first.nodes.map(({ node }) => node))}`);
    update(waysOf(plan));
    happens.show(plan, request?.model, cluster, true);
  }

  return self;
}

/** The plan with the nodes of the newest state, of which it has the ids. */
function named(plan, { nodes }) {
  const of = (entry) => ({ ...entry, node: nodes.find(({ id }) => id === entry.node?.id) ?? entry.node });
  const placements = plan.placements.map((placement) => ({ ...placement, nodes: placement.nodes.map(of) }));
  return { ...plan, placements, downloads: plan.downloads.map(of) };
}

/** The four ways to place it, in the same order whatever the server would choose. */
function waysOf(plan) {
  // The last of a kind is what choosing that kind gives; the first one of all is the server's choice.
  const byKind = new Map((plan?.placements ?? []).map((placement) => [keyOf(placement), placement]));
  return [...byKind.values()].sort((one, other) => ORDER.indexOf(keyOf(one)) - ORDER.indexOf(keyOf(other)));
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
