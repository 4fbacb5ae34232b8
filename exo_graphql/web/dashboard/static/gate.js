// Disables the buttons that would be refused now, with the reason, while this server or exo does not answer.

import { attribute } from "./dom.js";

/** `server` and `exo` are why each does not answer, null where it does. Buttons marked `data-exo` need both. */
export function gate(server, exo) {
  for (const button of document.querySelectorAll("[data-operate]")) {
    const reason = server ?? ("exo" in button.dataset ? exo : null);
    button.disabled = reason !== null;
    attribute(button, "title", reason);
  }
}
