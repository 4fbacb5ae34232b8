// Choosing a model: a search in the catalogue by the server, and a radio button for each match.

import { SEARCH } from "./documents.js";
import { h, keyed, say, text } from "./dom.js";
import { amount, count } from "./format.js";
import { ask } from "./request.js";

// A search starts when nothing has been typed for this long.
const TYPING_MS = 150;
const MAX_LISTED = 80;

/** `chosen` is the model, or null; `changed()` is called when it changes. */
export function catalogue(changed) {
  const search = h("input", { type: "search", autocomplete: "off", spellcheck: "false", placeholder: "Name, family or quantization" });
  const hits = h("ul", { class: "hits", role: "list" });
  const status = h("p", { class: "facts", role: "status" });
  const update = keyed(hits, ({ id }) => id, (model) => hit(model, choose));
  let newest = null;
  let typing;
  let wanted = null; // the id of the model to choose once it is listed

  const self = {
    chosen: null,
    element: h("fieldset", { class: "catalogue" }, h("legend", {}, "Model"), h("label", {}, "Search the catalogue", search), hits, status),
    /** Clears the choice and lists the whole catalogue; with a model only what has its name, and chooses it. */
    open(model = null) {
      search.value = model?.name ?? "";
      wanted = model?.id ?? null;
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
      update(models.slice(0, MAX_LISTED));
      const more = models.length > MAX_LISTED ? `, the first ${MAX_LISTED} are listed` : "";
      say(status, models.length === 0 ? "No model matches." : `${count(models.length, "model")}${more}.`);
      const radio = wanted === null ? null : hits.querySelector(`[value="${CSS.escape(wanted)}"]`);
      wanted = null;
      radio?.click();
      // The choice is kept while it is among the matches.
      const chosen = hits.querySelector(":checked");
      if (chosen === null && self.chosen !== null) choose(null);
    } catch (error) {
      if (error.name !== "AbortError") say(status, error.message);
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
