// How to call a model: exo's address, and a line for a shell.

import { copyButton } from "../../graphiql/assets/clipboard.js";
import { quoted } from "../../graphiql/assets/shell.js";
import { h, text } from "./dom.js";

const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;

/**
 * Exo's address for this browser. This server may reach it on its own machine, by an address that means another machine
 * to a browser on another machine; exo listens on all addresses of its machine. `page` is the host name of this page.
 */
export function addressOf(exoUrl, page = location.hostname) {
  const url = new URL(exoUrl);
  if (LOOPBACK.test(url.hostname) && page !== "" && !LOOPBACK.test(page)) url.hostname = page;
  return url.href.replace(/\/$/, "");
}

/** A command that sends the model one request. */
export function commandOf({ id, capabilities }, address) {
  const can = (what) => capabilities.includes(what);
  if (can("image_edit") && !can("text")) {
    return `curl ${quoted(`${address}/v1/images/edits`)} ${form({ model: id, image: "@picture.png", prompt: "Make it night" })}`;
  }
  if (can("image_gen") && !can("text")) return post(`${address}/v1/images/generations`, { model: id, prompt: "A lighthouse" });
  return post(`${address}/v1/chat/completions`, { model: id, messages: [{ role: "user", content: "Hello" }] });
}

function post(address, body) {
  return `curl ${quoted(address)} -H 'Content-Type: application/json' -d ${quoted(JSON.stringify(body))}`;
}

function form(fields) {
  return Object.entries(fields).map(([name, value]) => `-F ${quoted(`${name}=${value}`)}`).join(" ");
}

/** A folded part of a model's row. */
export function callPanel() {
  const address = h("code");
  const command = h("code");
  const note = h("p", { class: "facts" });
  const row = (title, shown, label) =>
    h("div", {}, h("p", { class: "ends" }, title, h("span", { class: "acts" }, copyButton(label , () => shown.textContent))), h("pre", {}, shown));
  return {
    element: h(
      "details",
      { class: "calling" },
      h("summary", {}, "How to call it"),
      row("Base address of the OpenAI-compatible API", address, "Copy address"),
      row("One request", command, "Copy curl"),
      note,
    ),
    update(model, { exoUrl, demo }) {
      const base = addressOf(exoUrl);
      text(address, `${base}/v1`);
      text(command, commandOf(model, base));
      text(note, noteOf(model, demo));
    },
  };
}

function noteOf({ status }, demo) {
  if (demo) return "The cluster is simulated: nothing answers there.";
  return status.ready ? "" : "It is not ready: exo would accept the request and keep it waiting.";
}
