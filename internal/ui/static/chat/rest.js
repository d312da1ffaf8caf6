// @ts-check
/** @module The few REST calls that a conversation needs. */

/** @typedef {import("./backoff.js").Problem} Problem */

/**
 * Resolves to an access token, or to null when nobody is signed in (any more). It rejects when the service cannot be
 * reached. `force` means that the token `stale` has expired or soon will: resolve to another one.
 * @typedef {(how?: {force?: boolean, stale?: string}) => Promise<string | null>} GetToken
 */

/** A refusal of the service. Its message is for people. */
export class RefusalError extends Error {
  /** @param {Problem} problem */
  constructor(problem) {
    super(problem.detail);
    this.name = "RefusalError";
    this.problem = problem;
    this.code = problem.code;
    this.status = problem.status;
  }
}

/**
 * Reads the problem from an answer that is not ok. An answer that is not the service's problem document, such as a balancer's own
 * page or half an answer, has the code `not_from_service`: it says nothing about the request.
 * @param {Response} answer
 * @returns {Promise<Problem>}
 */
export async function problemOf(answer) {
  let document = null;
  try {
    if (/^application\/problem\+json\b/i.test(answer.headers.get("Content-Type") ?? "")) document = await answer.json();
  } catch {
    // Half an answer.
  }
  if (document?.status !== answer.status || typeof document?.code !== "string") document = null;
  const wait = Number(answer.headers.get("Retry-After"));
  return {
    status: answer.status,
    code: document?.code ?? "not_from_service",
    detail: typeof document?.detail === "string" ? document.detail : "Something went wrong. Please try again.",
    retryAfterMs: wait > 0 ? wait * 1000 : undefined,
    document,
  };
}

/**
 * Whether the service does not accept a token. Another's 401 says nothing about the sign-in session.
 * @param {Problem} problem
 */
export const isUnauthenticated = ({ status, code }) => status === 401 && code !== "not_from_service";

/** Calls one service on behalf of one user. */
export class Rest {
  #base;
  #getToken;

  /**
   * @param {string} base     where the service is, such as location.origin
   * @param {GetToken} getToken
   */
  constructor(base, getToken) {
    this.#base = base.replace(/\/+$/, "");
    this.#getToken = getToken;
  }

  /**
   * Sends a request with the user's token, and again with a fresh one if the first is refused. It rejects with a RefusalError,
   * or with fetch's TypeError when the service cannot be reached.
   * @param {string} path below /api/v1
   * @param {RequestInit} [init]
   * @returns {Promise<Response>} with a status in 200–299
   */
  async fetch(path, init = {}) {
    let token = await this.#getToken();
    for (let again = false; ; again = true) {
      if (token === null) throw new RefusalError({ status: 401, code: "signed_out", detail: "Please sign in again." });
      const headers = new Headers(init.headers);
      headers.set("Authorization", `Bearer ${token}`);
      const answer = await fetch(`${this.#base}/api/v1${path}`, { ...init, headers });
      if (answer.ok) return answer;
      const problem = await problemOf(answer);
      if (!isUnauthenticated(problem) || again) throw new RefusalError(problem);
      token = await this.#getToken({ force: true, stale: token });
    }
  }

  /**
   * @param {string} path
   * @param {{method?: string, body?: unknown, signal?: AbortSignal}} how may be left out; a body is sent as JSON
   * @returns {Promise<any>} null for an answer without content
   */
  async json(path, { method = "GET", body, signal } = {}) {
    /** @type {RequestInit} */
    const init = { method, signal };
    if (body !== undefined) {
      init.headers = { "Content-Type": "application/json" };
      init.body = JSON.stringify(body);
    }
    const answer = await this.fetch(path, init);
    return answer.status === 204 ? null : answer.json();
  }
}
