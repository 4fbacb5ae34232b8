// The bearer token, requested when the server requires one: kept until the tab is closed (sessionStorage), or in this
// browser if the user asks for it (localStorage).

const KEY = "exo-graphql-token";
let asking = null;

/** The Authorization value to send, or null when no token has been given. */
export function authorization() {
  const token = sessionStorage.getItem(KEY) ?? localStorage.getItem(KEY);
  return token ? `Bearer ${token}` : null;
}

/** Deletes the token, for the other tabs of this browser too if it was kept for them. */
export function forgetToken() {
  sessionStorage.removeItem(KEY);
  localStorage.removeItem(KEY);
}

function keepToken(token, inBrowser) {
  forgetToken();
  (inBrowser ? localStorage : sessionStorage).setItem(KEY, token);
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
    "Enter a bearer token of this server. A read token sees everything; an operate token may also change the cluster.",
  );
  const input = document.createElement("input");
  Object.assign(input, { type: "password", name: "token", required: true, autocomplete: "off", spellcheck: false });
  const label = element("label", "Token");
  label.append(input);
  const keep = document.createElement("input");
  Object.assign(keep, { type: "checkbox", name: "keep", checked: localStorage.getItem(KEY) !== null });
  const kept = element("label", "Keep it in this browser; otherwise until this tab is closed");
  kept.className = "keep";
  kept.prepend(keep);
  const send = element("button", "Use token");
  send.value = "use";
  const cancel = element("button", "Cancel");
  Object.assign(cancel, { type: "button" });
  cancel.addEventListener("click", () => dialog.close());
  const menu = document.createElement("menu");
  menu.append(cancel, send);
  const form = document.createElement("form");
  form.method = "dialog";
  form.append(title, hint, label, kept, menu);
  dialog.append(form);
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      const given = dialog.returnValue === "use" ? input.value.trim() : "";
      if (given) keepToken(given, keep.checked);
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
