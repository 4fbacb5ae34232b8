// Dialogs: a form that can be closed, and the confirmation before models are unloaded.

import { h, text } from "./dom.js";

/**
 * Puts a form into a dialog. Escape, the cross and `decline` close it; `submitted(form)` is called on submit and closes
 * it itself.
 */
export function formDialog(dialog, title, submit, submitted, content, decline = "Cancel") {
  const close = () => dialog.close();
  const form = h(
    "form",
    {
      submit: (event) => {
        event.preventDefault();
        submitted(form);
      },
    },
    h("header", {}, title, h("button", { type: "button", class: "plain", "aria-label": "Close", click: close }, "✕")),
    h("div", { class: "content" }, content),
    h("footer", {}, h("button", { type: "button", click: close }, decline), submit),
  );
  // A browser cannot point at an invalid field in a folded part, and would do nothing without a word. Not bubbling.
  form.addEventListener("invalid", (event) => event.target.closest("details")?.setAttribute("open", ""), { capture: true });
  dialog.replaceChildren(form);
}

/** Asks a question. Resolves to the form's data, or to null if the user declines. */
export function confirm(question, action, content, decline) {
  const dialog = document.getElementById("confirm");
  const title = h("h2", { id: "confirm-title" });
  text(title, question);
  return new Promise((resolve) => {
    let answer = null;
    const yes = h("button", { class: "primary", "data-operate": true }, action);
    formDialog(dialog, title, yes, (form) => {
      answer = new FormData(form);
      dialog.close();
    }, content, decline);
    dialog.addEventListener("close", () => resolve(answer), { once: true });
    dialog.showModal();
    yes.focus();
  });
}
