// The loaded models: phase, progress, instances, their shards and the nodes of these.

import { callPanel } from "./calling.js";
import { attribute, bar, figure, h, keyed, section, text } from "./dom.js";
import { amount, count, duration, label, manner, time, words } from "./format.js";

/** `actions` is `{ swap(model), unload(model) }`. */
export function modelSection(actions) {
  const update = section("models", ({ model }) => model.id, ({ model }) => modelRow(model, actions));
  return (cluster) => update(cluster.models.map((model) => ({ model, cluster })));
}

function modelRow(first, actions) {
  let model = first;
  const title = h("h3", { title: first.id }, first.name);
  const phase = h("span", { class: "badge" });
  const facts = h("p", { class: "facts" });
  const message = h("p", { class: "message" });
  const failure = h("p", { class: "failure" });
  const progress = bar("progressbar", `Progress of ${first.name}`);
  const instances = h("ul", { class: "instances", role: "list" });
  const calling = callPanel();
  const updateInstances = keyed(instances, (instance) => instance.id, instanceRow);
  const button = (name, act) =>
    h("button", { type: "button", "data-operate": true, "data-exo": true, "aria-label": `${name.replace("…", "")} ${first.name}`, click: () => act(model) }, name);
  const element = h(
    "li",
    { class: "row", "data-model": first.id },
    h("div", { class: "head" }, title, phase, h("div", { class: "acts" }, button("Swap…", actions.swap), button("Unload…", actions.unload))),
    facts,
    progress.element,
    message,
    failure,
    instances,
    calling.element,
  );
  return {
    element,
    update({ model: now, cluster }) {
      model = now;
      const { status } = now;
      attribute(element, "data-phase", status.phase);
      attribute(element, "data-stale", status.stale);
      text(phase, words(status.phase));
      text(facts, factsOf(now));
      progress.element.hidden = status.ready || !isMoving(status.phase);
      progress.update(status.progressPercent, status.message);
      text(message, messageOf(status));
      // Red only where nothing more will come by itself; an old failure of a model that is ready again is grey.
      attribute(failure, "class", status.ready ? "facts" : status.final ? "failure" : "warning");
      text(failure, failureOf(status));
      updateInstances(now.instances);
      calling.update(now, cluster);
    },
  };
}

function isMoving(phase) {
  return !["FAILED", "UNREACHABLE", "NOT_LOADED"].includes(phase);
}

function factsOf({ id, name, storageSizeGb, quantization, contextLength, instances }) {
  const owner = id.slice(0, id.length - name.length).replace(/\/$/, "");
  const several = instances.length > 1 ? count(instances.length, "instance") : null;
  const context = contextLength === null ? null : `context of ${amount(contextLength, "tokens")}`;
  return [owner, amount(storageSizeGb, "GiB", 1), quantization, context, several].filter(Boolean).join(" · ");
}

function messageOf({ message, etaSeconds }) {
  return etaSeconds === null ? message : `${message} About ${duration(etaSeconds)} to go.`;
}

function failureOf({ failure, final }) {
  if (failure === null) return "";
  const attempt = failure.attempt === null ? "" : `, attempt ${failure.attempt}`;
  const where = failure.node === null ? "" : ` on ${label(failure.node)}`;
  const verdict = final ? " exo has given up." : "";
  return `Last failure (${time(failure.at)}${where}${attempt}): ${failure.message}${verdict}`;
}

function instanceRow(first) {
  const title = h("p", { class: "manner" });
  const shards = h("ul", { class: "shards", role: "list" });
  const updateShards = keyed(shards, (shard) => shard.runnerId, shardRow);
  const element = h("li", { "data-instance": first.id }, title, shards);
  return {
    element,
    update(instance) {
      attribute(element, "data-phase", instance.phase);
      text(title, `${manner(instance)} on ${count(instance.shards.length, "node")}`);
      updateShards(instance.shards);
    },
  };
}

function shardRow(first) {
  const node = h("span", { class: "where" });
  const layers = h("span", { class: "layers" });
  const runner = h("span", { class: "runner" });
  const error = h("span", { class: "failure" });
  const element = h("li", { title: `Runner ${first.runnerId}` }, node, layers, runner, error);
  return {
    element,
    update(shard) {
      attribute(element, "data-runner", shard.runnerStatus ?? "UNREPORTED");
      text(node, label(shard.node));
      text(layers, holdingOf(shard));
      figure(runner, shard.runnerStatus === null ? null : runnerOf(shard));
      text(error, shard.error);
    },
  };
}

/** What it holds: layers 0–46, 116.3 GiB. */
function holdingOf({ startLayer, endLayer, memoryGb }) {
  const layers = startLayer === null || endLayer === null ? null : `layers ${startLayer}–${endLayer - 1}`;
  return [layers, amount(memoryGb, "GiB", 1)].filter(Boolean).map((each) => each.replace(" ", "\u00a0")).join(", ");
}

function runnerOf({ runnerStatus, layersLoaded, totalLayers }) {
  const loaded = layersLoaded === null || totalLayers === null ? "" : ` ${layersLoaded}/${totalLayers}`;
  return words(runnerStatus) + loaded;
}
