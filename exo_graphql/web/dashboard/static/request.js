// GraphQL by POST, with the token of this tab if the server requires one.

import { askToken, authorization } from "../../graphiql/assets/token.js";

/** The endpoint, relative to this page: a proxy may serve both below any path. */
export const ENDPOINT = new URL("graphql", document.baseURI);
// The server itself waits up to 15 s for exo.
const TIMEOUT_MS = 30_000;

/** Why a request failed, in the server's words if it gave any. `code` is its error code, or NO_ANSWER. */
export class RequestError extends Error {
  constructor({ message, extensions = {} }) {
    super(message);
    this.code = extensions.code ?? "UNKNOWN";
    this.suggestion = extensions.suggestion ?? null;
    this.exoErrors = extensions.exoErrors ?? [];
  }
}

/** The server was not reached, or its answer is not GraphQL. The request may have been executed. */
export class NoAnswer extends RequestError {
  constructor(message) {
    super({ message, extensions: { code: "NO_ANSWER" } });
  }
}

/**
 * POST an operation. Resolves to the response if its status is a success; throws a `RequestError` otherwise.
 * Where a token is missing or refused, asks the user for one and tries again.
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
    const error = await errorOf(response);
    // Another request may have obtained a token while this one was under way.
    if (response.status !== 401 || (token === authorization() && !(await askToken()))) throw error;
  }
}

/** The data of the response to an operation. Throws a `RequestError` for any error in it. */
export async function ask(query, variables, signal) {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const both = signal === undefined ? timeout : AbortSignal.any([signal, timeout]);
  const response = await post(query, variables, "application/json", both);
  let answer;
  try {
    answer = await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new NoAnswer("The answer of the server broke off.");
  }
  if (answer.errors?.length > 0) throw new RequestError(answer.errors[0]);
  return answer.data;
}

async function errorOf(response) {
  try {
    const { errors } = await response.json();
    return new RequestError(errors[0]);
  } catch {
    return new NoAnswer(`The server answers with HTTP status ${response.status}.`);
  }
}

/** An idempotency key for one click. crypto.randomUUID does not exist on plain HTTP, which most local clusters use. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `dashboard-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
