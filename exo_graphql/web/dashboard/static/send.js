// Wishes on their way: each click has its key, so that one which got no answer can be sent again and happens once.

import { ask, newKey, NoAnswer } from "./request.js";

const unanswered = new Map();

/** The payload of a mutation whose field is called `wish`. Throws a `Problem`. */
export async function send(document, variables) {
  const wish = JSON.stringify([document, variables]);
  const key = unanswered.get(wish) ?? newKey();
  unanswered.set(wish, key);
  try {
    const { wish: payload } = await ask(document, { ...variables, key });
    unanswered.delete(wish);
    return payload;
  } catch (problem) {
    if (!(problem instanceof NoAnswer)) unanswered.delete(wish);
    throw problem;
  }
}
