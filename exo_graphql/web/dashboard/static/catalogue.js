// Choosing a model: a search in the catalogue, answered by the server, and one radio button for each hit.

import { SEARCH } from "./documents.js";
import { h, keyed, say, text } from "./dom.js";
import { amount, count } from "./format.js";
import { ask } from "./request.js";

const TYPING_MS = 150;
const MOST = 80;

/** `chosen` is the model, or null; `changed()` is called when it changes. */
export function catalogue(changed) {
  const search = h("input", { type: "search", autocomplete: "off", spellcheck: "false", placeholder: "Name, family or quantization" });
  const hits = h("ul", { class: "hits", role: "list" });
  const said = h("p", { class: "facts", role: "status" });
  const update = keyed(hits, ({ id }) => id, (model) => hit(model, choose));
  let newest = null;
  let typing;

  const self = {
    chosen: null,
    element: h("fieldset", { class: "catalogue" }, h("legend", {}, "Model"), h("label", {}, "Search the catalogue", search), hits, said),
    /** Starts anew, with the whole catalogue. */
    open() {
      search.value = "";
      choose(null);
      update([]);
      search.focus();
      find();
    },
  };

  function choose(model) {
    self.chosen = model;
    changed();
  }

  async function find() {
    newest?.abort();
    const controller = (newest = new AbortController());
    try {
      const { models } = await ask(SEARCH, { search: search.value }, controller.signal);
      update(models.slice(0, MOST));
      const more = models.length > MOST ? `, of which the first ${MOST} are listed` : "";
      say(said, models.length === 0 ? "Nothing has this name." : `${count(models.length, "model")}${more}.`);
      // The choice stays as long as it can be seen.
      const chosen = hits.querySelector(":checked");
      if (chosen === null && self.chosen !== null) choose(null);
    } catch (problem) {
      if (problem.name !== "AbortError") say(said, problem.message);
    }
  }

  search.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(find, TYPING_MS);
  });
  return self;
}

function hit(first, choose) {
  const facts = h("span", { class: "facts" });
  const radio = h("input", { type: "radio", name: "model", value: first.id, change: () => choose(first) });
  return {
    element: h("li", { "data-choice": first.id }, h("label", { class: "tick", title: first.id }, radio, h("span", {}, first.name), facts)),
    update: ({ storageSizeGb, loaded, downloads }) =>
      text(facts, [amount(storageSizeGb, "GiB", 1), loaded ? "loaded" : null, weightsOf(downloads)].filter(Boolean).join(" · ")),
  };
}

function weightsOf(downloads) {
  return downloads.length === 0 ? "not downloaded" : `weights on ${count(downloads.length, "node")}`;
}
