// The subscription behind the page: GraphQL over server-sent events, read with fetch, which can send a token.
// When it ends or breaks, the reason is shown and it is started again.

import { post, RequestError } from "./request.js";

// The server sends a comment every 12 s: a connection that is silent for three of them is dead.
const SILENCE_MS = 40_000;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;
// A browser keeps at most six connections to one server over HTTP/1.1: a page hidden for this long closes its own.
const HIDDEN_MS = 60_000;

/** Follows a subscription for as long as the page is there. */
export class Live {
  /**
   * `data(data)` is called with each message, `state(state, { error, retryMs })` at each change: "connecting",
   * "waiting" (connected, no message yet), "live", "lost" (connects again in `retryMs`), "refused" (waits for
   * `retry()`), "hidden".
   */
  constructor(query, { data, state }) {
    this.query = query;
    this.onData = data;
    this.onState = state;
    this.wake = () => {};
    this.drop = () => {};
    addEventListener("online", () => this.retry());
    document.addEventListener("visibilitychange", () => this.#watchVisibility());
  }

  /** Connects now instead of after the pause. */
  retry() {
    this.wake();
  }

  async run() {
    let failures = 0;
    for (;;) {
      while (this.hidden) await this.#sleep(null, "hidden");
      this.onState("connecting", {});
      let error = null;
      let received = false;
      try {
        await this.#follow(() => {
          received = true;
        });
      } catch (thrown) {
        error = thrown instanceof RequestError ? thrown : new RequestError({ message: "The connection broke." });
      }
      if (this.hidden) continue;
      if (error?.code === "UNAUTHENTICATED") {
        await this.#sleep(null, "refused", error);
        continue;
      }
      failures = received ? 0 : failures + 1;
      const longest = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** failures);
      // At random, so that not all pages connect at the moment the server is back.
      await this.#sleep(longest * (0.5 + Math.random() / 2), "lost", error);
    }
  }

  async #follow(received) {
    const controller = new AbortController();
    this.drop = () => controller.abort();
    let silence;
    const alive = () => {
      clearTimeout(silence);
      silence = setTimeout(this.drop, SILENCE_MS);
    };
    alive();
    try {
      const response = await post(this.query, {}, "text/event-stream", controller.signal);
      this.onState("waiting", {});
      for await (const event of events(response.body, alive)) {
        if (event.name === "complete") return;
        const answer = JSON.parse(event.data);
        if (answer.errors?.length > 0) throw new RequestError(answer.errors[0]);
        received();
        this.onState("live", {});
        this.onData(answer.data);
      }
    } finally {
      clearTimeout(silence);
      controller.abort();
    }
  }

  async #sleep(milliseconds, state, error = null) {
    this.onState(state, { error, retryMs: milliseconds });
    let timer;
    await new Promise((resolve) => {
      this.wake = resolve;
      if (milliseconds !== null) timer = setTimeout(resolve, milliseconds);
    });
    clearTimeout(timer);
    this.wake = () => {};
  }

  #watchVisibility() {
    clearTimeout(this.hiding);
    if (document.hidden) {
      this.hiding = setTimeout(() => {
        this.hidden = true;
        this.drop();
      }, HIDDEN_MS);
    } else {
      this.hidden = false;
      this.retry();
    }
  }
}

/** The events of a stream; `alive` is called whenever anything comes, comments included. */
async function* events(body, alive) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let event = { name: "message", data: [] };
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    alive();
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines.map((each) => each.replace(/\r$/, ""))) {
      if (line === "") {
        if (event.data.length > 0) yield { name: event.name, data: event.data.join("\n") };
        event = { name: "message", data: [] };
      } else if (line.startsWith("event:")) event.name = line.slice(6).trim();
      else if (line.startsWith("data:")) event.data.push(line.slice(5).replace(/^ /, ""));
    }
  }
}
