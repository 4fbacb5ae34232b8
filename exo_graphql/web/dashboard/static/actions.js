// The buttons in the rows: cancel an operation, cancel a request. Loads, swaps and unloads have dialogs of their own.

import { confirm } from "./confirm.js";
import { CANCEL, CANCEL_TASK } from "./documents.js";
import { h } from "./dom.js";
import { words } from "./format.js";
import { attempt, showPaused } from "./notice.js";
import { showOperation } from "./operations.js";

/** Sends a mutation that starts or changes an operation, and shows that operation. */
export async function run(document, variables) {
  const payload = await attempt(document, variables);
  if (payload === null) return;
  showPaused(payload.paused);
  showOperation(payload.operation.id);
}

/** Cancels an operation; the server undoes what it did. */
export function cancel(id) {
  return run(CANCEL, { id });
}

/** Asks for confirmation; then cancels a request to a model. */
export async function cancelTask({ id, kind, model }) {
  const what = h("p", {}, `${model.name}: ${words(kind)}. Its client gets no more of the answer.`);
  const answer = await confirm("Cancel this request?", "Cancel the request", [what], "Let it run");
  if (answer !== null) await attempt(CANCEL_TASK, { id });
}
