// Choosing a model: a search in the catalogue by the server, and a radio button for each match. What is downloaded and
// fits comes first.

import { SEARCH } from "./documents.js";
import { h, keyed, say, text } from "./dom.js";
import { amount, count } from "./format.js";
import { ask } from "./request.js";

// A search starts when nothing has been typed for this long.
const TYPING_MS = 150;

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
      const { models, fitting } = await ask(SEARCH, { search: search.value }, controller.signal);
      const listed = ranked(models, new Set(fitting.map(({ id }) => id)));
      update(listed);
      say(status, models.length === 0 ? "No model matches." : summaryOf(listed));
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
  // Among the radio buttons, the browser moves by the arrow keys itself.
  search.addEventListener("keydown", (event) => {
    const into = event.key === "ArrowDown" || (event.key === "Enter" && self.chosen === null);
    const radio = into ? hits.querySelector(":checked") ?? hits.querySelector("input") : null;
    if (radio === null) return;
    event.preventDefault();
    radio.focus();
    radio.click();
  });
  hits.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowUp" || event.target !== hits.querySelector("input")) return;
    event.preventDefault();
    search.focus();
  });
  return self;
}

/** The models with whether they fit, in the order of how soon they could serve; otherwise as they come. */
export function ranked(models, fitting) {
  const rank = ({ fits, downloads }) => (fits ? 0 : 2) + (downloads.length > 0 ? 0 : 1);
  return models.map((model) => ({ ...model, fits: fitting.has(model.id) })).sort((one, other) => rank(one) - rank(other));
}

function summaryOf(models) {
  const soon = models.filter(({ fits, downloads }) => fits && downloads.length > 0).length;
  return `${count(models.length, "model")}, ${soon} of them downloaded and fitting now.`;
}

function hit(first, choose) {
  const facts = h("span", { class: "facts" });
  const radio = h("input", { type: "radio", name: "model", value: first.id, change: () => choose(first) });
  return {
    element: h("li", { "data-choice": first.id }, h("label", { class: "tick", title: first.id }, radio, h("span", {}, first.name), facts)),
    update: ({ storageSizeGb, loaded, downloads, fits }) => {
      const words = [amount(storageSizeGb, "GiB", 1), loaded ? "loaded" : null, weightsOf(downloads), fits || loaded ? null : "does not fit now"];
      text(facts, words.filter(Boolean).join(" · "));
    },
  };
}

function weightsOf(downloads) {
  return downloads.length === 0 ? "not downloaded" : `weights on ${count(downloads.length, "node")}`;
}
