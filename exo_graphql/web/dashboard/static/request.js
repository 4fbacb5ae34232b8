// One question, one answer: GraphQL by POST, with the tab's token where the server asks for one.

import { askToken, authorization } from "../../graphiql/assets/token.js";

/** The endpoint, wherever a proxy has put this page. */
export const ENDPOINT = new URL("graphql", document.baseURI);
const PATIENCE_MS = 30_000;

/** Why there is no answer, in the server's words where it had any. `code` is its error code, or NO_ANSWER. */
export class Problem extends Error {
  constructor({ message, extensions = {} }) {
    super(message);
    this.code = extensions.code ?? "UNKNOWN";
    this.suggestion = extensions.suggestion ?? null;
  }
}

/** The server was not reached, or said nothing that can be understood. What was asked may have been done. */
export class NoAnswer extends Problem {
  constructor(message) {
    super({ message, extensions: { code: "NO_ANSWER" } });
  }
}

/**
 * POST an operation. Resolves to the response once its status says that it was heard; throws a `Problem` otherwise.
 * A refusal for want of a token asks the user for one and tries again.
 */
export async function post(query, variables, accept, signal) {
  for (;;) {
    const token = authorization();
    const headers = { "Content-Type": "application/json", Accept: accept };
    if (token !== null) headers.Authorization = token;
    let response;
    try {
      const body = JSON.stringify({ query, variables });
      response = await fetch(ENDPOINT, { method: "POST", headers, body, signal, cache: "no-store" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new NoAnswer(error.name === "TimeoutError" ? "The server took too long to answer." : "The server does not answer.");
    }
    if (response.ok) return response;
    const problem = await refusal(response);
    // Another request may have got a token while this one was under way.
    if (response.status !== 401 || (token === authorization() && !(await askToken()))) throw problem;
  }
}

/** The data that answers an operation. Throws a `Problem` for any error in it. */
export async function ask(query, variables, signal) {
  const patience = AbortSignal.timeout(PATIENCE_MS);
  const both = signal === undefined ? patience : AbortSignal.any([signal, patience]);
  const response = await post(query, variables, "application/json", both);
  let answer;
  try {
    answer = await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new NoAnswer("The server's answer broke off.");
  }
  if (answer.errors?.length > 0) throw new Problem(answer.errors[0]);
  return answer.data;
}

async function refusal(response) {
  try {
    const { errors } = await response.json();
    return new Problem(errors[0]);
  } catch {
    return new NoAnswer(`The server answers with HTTP status ${response.status}.`);
  }
}

/** A key for one click. Not randomUUID: that is missing on plain HTTP, which is how a cluster at home is reached. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `dashboard-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
