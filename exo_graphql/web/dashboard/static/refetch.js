// Queries beside the subscription: what is long and changes rarely is asked for when the subscription says it changed.

const PAUSE_MS = 1000;

/**
 * Returns `update(key)`: calls `load()` when the key is another one than at the last load, once in `pauseMs` at most. A
 * load that throws is tried again with the next state: the subscription reports a broken connection.
 */
export function refetcher(load, pauseMs = PAUSE_MS) {
  let wanted;
  let loaded;
  let busy = false;

  async function run() {
    busy = true;
    const key = wanted;
    try {
      await load();
      loaded = key;
    } catch {
      loaded = undefined;
    }
    setTimeout(() => {
      busy = false;
      // What changed meanwhile may be the last change for hours.
      if (loaded !== undefined && loaded !== wanted) run();
    }, pauseMs);
  }

  return (key) => {
    wanted = key;
    if (key !== loaded && !busy) run();
  };
}
