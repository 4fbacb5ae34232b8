// The bearer token of this browser tab: kept in sessionStorage, requested when the server requires one.

const KEY = "exo-graphql-token";
let asking = null;

/** The Authorization value to send, or null when no token has been given. */
export function authorization() {
  const token = sessionStorage.getItem(KEY);
  return token ? `Bearer ${token}` : null;
}

/** Deletes the token. */
export function forgetToken() {
  sessionStorage.removeItem(KEY);
}

/**
 * Asks the user for a token and keeps it. Requests that are refused at the same time share one dialog.
 * Resolves to true if one was entered, to false if the user declined.
 */
export function askToken() {
  asking ??= openDialog().finally(() => {
    asking = null;
  });
  return asking;
}

function openDialog() {
  const refused = authorization() !== null;
  const dialog = document.createElement("dialog");
  dialog.className = "token";
  dialog.setAttribute("aria-labelledby", "token-title");
  const title = element("h2", refused ? "Token refused" : "Token required");
  title.id = "token-title";
  const hint = element(
    "p",
    "Enter a bearer token of this server. A read token sees everything; an operate token may also change " +
      "the cluster. The token is kept until this tab is closed.",
  );
  const input = document.createElement("input");
  Object.assign(input, { type: "password", name: "token", required: true, autocomplete: "off", spellcheck: false });
  const label = element("label", "Token");
  label.append(input);
  const send = element("button", "Use token");
  send.value = "use";
  const cancel = element("button", "Cancel");
  Object.assign(cancel, { type: "button" });
  cancel.addEventListener("click", () => dialog.close());
  const menu = document.createElement("menu");
  menu.append(cancel, send);
  const form = document.createElement("form");
  form.method = "dialog";
  form.append(title, hint, label, menu);
  dialog.append(form);
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      const given = dialog.returnValue === "use" ? input.value.trim() : "";
      if (given) sessionStorage.setItem(KEY, given);
      dialog.remove();
      resolve(given !== "");
    });
  });
}

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}
