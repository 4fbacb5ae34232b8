// Dialogs: a form with a way out, and the question that is asked before anything is taken away.

import { h, text } from "./dom.js";

/**
 * Makes a form of a dialog. It closes by Escape, by the cross and by Cancel; `submitted(form)` is called for the
 * rest, and closes it if it wants to.
 */
export function formDialog(dialog, title, submit, submitted, content) {
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
    h("footer", {}, h("button", { type: "button", click: close }, "Cancel"), submit),
  );
  dialog.replaceChildren(form);
}

/** Asks; resolves to the form's data, or to null if the answer is no. */
export function confirm(question, action, content) {
  const dialog = document.getElementById("confirm");
  const title = h("h2", { id: "confirm-title" });
  text(title, question);
  return new Promise((resolve) => {
    let answer = null;
    const yes = h("button", { class: "primary" }, action);
    formDialog(dialog, title, yes, (form) => {
      answer = new FormData(form);
      dialog.close();
    }, content);
    dialog.addEventListener("close", () => resolve(answer), { once: true });
    dialog.showModal();
    yes.focus();
  });
}
