// Sends mutations. Each click has an idempotency key, so that a request without an answer can be sent again safely.

import { ask, newKey, NoAnswer } from "./request.js";

// Keys of the requests that got no answer, by document and variables: the second click on Load uses the first one's key.
const unanswered = new Map();

/** The payload of a mutation whose field has the alias `payload`. Throws a `RequestError`. */
export async function mutate(document, variables) {
  const request = JSON.stringify([document, variables]);
  const key = unanswered.get(request) ?? newKey();
  unanswered.set(request, key);
  try {
    const { payload } = await ask(document, { ...variables, key });
    unanswered.delete(request);
    return payload;
  } catch (error) {
    if (!(error instanceof NoAnswer)) unanswered.delete(request);
    throw error;
  }
}
