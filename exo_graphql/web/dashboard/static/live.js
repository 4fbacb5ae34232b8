// The subscription that drives the page: GraphQL over server-sent events, by fetch, which can send a token.
// It heals itself: whatever ends it is shown, and it is begun anew.

import { post, Problem } from "./request.js";

// The server sends a comment every 12 s; a connection on which nothing comes for this long is dead.
const SILENCE_MS = 40_000;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;
// A browser keeps few connections to one server. A page that nobody sees for this long gives its own back.
const HIDDEN_MS = 60_000;

/** Follows a subscription for as long as the page is there. */
export class Live {
  /**
   * `data(data)` is called with each message, `state(state, { problem, retryMs })` at each change: "connecting",
   * "waiting" (the server is there, its first message is not), "live", "lost" (tried again in `retryMs`),
   * "refused" (only `retry()` goes on), "hidden".
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

  /** Goes on now rather than after the pause. */
  retry() {
    this.wake();
  }

  async run() {
    let failures = 0;
    for (;;) {
      while (this.hidden) await this.#sleep(null, "hidden");
      this.onState("connecting", {});
      let problem = null;
      let heard = false;
      try {
        await this.#follow(() => {
          heard = true;
        });
      } catch (error) {
        problem = error instanceof Problem ? error : new Problem({ message: "The connection broke." });
      }
      if (this.hidden) continue;
      if (problem?.code === "UNAUTHENTICATED") {
        await this.#sleep(null, "refused", problem);
        continue;
      }
      failures = heard ? 0 : failures + 1;
      const longest = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** failures);
      // Not all pages of a server that comes back at the same moment.
      await this.#sleep(longest * (0.5 + Math.random() / 2), "lost", problem);
    }
  }

  async #follow(heard) {
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
        if (answer.errors?.length > 0) throw new Problem(answer.errors[0]);
        heard();
        this.onState("live", {});
        this.onData(answer.data);
      }
    } finally {
      clearTimeout(silence);
      controller.abort();
    }
  }

  async #sleep(milliseconds, state, problem = null) {
    this.onState(state, { problem, retryMs: milliseconds });
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
