// Shows why a request was refused, in the server's words, with buttons for what to do next.

import { askToken, forgetToken } from "../../graphiql/assets/token.js";
import { h } from "./dom.js";
import { showOperation } from "./operations.js";

/** `show(error, actions)` with an OperationError or a `RequestError`; `actions` are `[label, click]`, each a button. */
export function refusal(role = "alert") {
  const element = h("div", { class: "refusal", role, hidden: true });
  return {
    element,
    clear() {
      element.hidden = true;
      element.replaceChildren();
    },
    show(error, actions = []) {
      const buttons = [...actions, ...usual(error)].map(([label, click]) => h("button", { type: "button", click }, label));
      element.replaceChildren(
        h("p", {}, h("strong", {}, error.message)),
        ...(error.suggestion ? [h("p", {}, error.suggestion)] : []),
        ...(error.candidates?.length > 0 ? [h("p", {}, `Choices: ${error.candidates.join(", ")}.`)] : []),
        ...(buttons.length > 0 ? [h("p", { class: "acts" }, buttons)] : []),
      );
      element.hidden = false;
      element.scrollIntoView({ block: "nearest" });
    },
  };
}

function usual(error) {
  if (error.code === "FORBIDDEN") {
    return [["Use another token…", () => { forgetToken(); askToken(); }]];
  }
  const other = error.operation;
  if (!other) return [];
  const show = (event) => {
    event.target.closest("dialog")?.close();
    showOperation(other.id);
  };
  return [["Show that operation", show]];
}
