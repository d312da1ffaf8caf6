// @ts-check
/** @module When to reconnect after a connection has ended: PROTOCOL.md's table of close codes as code. */

const BASE = 1000; // ms: the bound of the first wait; it doubles
const MOST = 60_000; // up to this
const FORGIVE = 10_000; // a connection that was live for this long resets the waits
const STEADY = 1000; // one that was live for this long may come back at once, where the protocol says so

const RENEW = new Set(["unauthenticated", "session_ended"]);
/**
 * Only what the service itself says, and this client knows to be lasting, ends anything: a balancer that starts, or has no
 * instance, answers 404 or 403 with a page of its own.
 */
const LASTING = new Set([
  "origin", "password_change_required", "upgrade_required", "subprotocol_required", "invalid", "forbidden", "not_found",
]);

/**
 * What a refusal over HTTP says (RFC 9457).
 * @typedef {object} Problem
 * @property {number} status
 * @property {string} code
 * @property {string} detail
 * @property {number} [retryAfterMs]
 * @property {any} [document] the whole of it
 */

/**
 * How a connection, or an attempt at one, ended.
 * @typedef {object} Ending
 * @property {number} code        of the close frame; 1006 if there was none
 * @property {number} liveMs      how long it was live; 0 if it never was
 * @property {number} [comeAfterMs] from the service's `bye`
 * @property {Problem} [problem]  why the service refused the connection
 */

/**
 * Why a connection ended permanently.
 * @typedef {object} Reason
 * @property {string} code   `signed_out`, `closed` (by this page), `wrong_user`, a problem's code, or `close_` and the close code
 * @property {string} detail for people
 */

/** @typedef {{wait: number} | {renew: true} | {stop: Reason}} Verdict */

/** Counts the failed attempts to connect. */
export class Backoff {
  #failed = 0;
  #random;

  /** @param {() => number} [random] in [0, 1) */
  constructor(random = Math.random) {
    this.#random = random;
  }

  /**
   * The next wait in ms, drawn between nothing and its bound ("full jitter"), so that clients who lost one instance
   * together do not come back together.
   * @returns {number}
   */
  next() {
    const bound = Math.min(MOST, BASE * 2 ** Math.min(this.#failed, 6));
    this.#failed++;
    return this.#random() * bound;
  }

  /**
   * @param {Ending} end
   * @returns {Verdict}
   */
  judge(end) {
    if (end.liveMs >= FORGIVE) this.#failed = 0;
    if (end.problem) return this.#judgeProblem(end.problem);
    const { code, comeAfterMs } = end;
    if (code === 4401) return { renew: true };
    if (code >= 4400 && code < 4500) return { stop: { code: `close_${code}`, detail: words(code) } };
    if (code === 1012 && comeAfterMs !== undefined) return { wait: comeAfterMs };
    if ((code === 4008 || code === 4009) && end.liveMs >= STEADY) return { wait: 0 };
    return { wait: Math.max(this.next(), comeAfterMs ?? 0) };
  }

  /**
   * @param {Problem} p
   * @returns {Verdict}
   */
  #judgeProblem(p) {
    if (RENEW.has(p.code)) return { renew: true };
    if (LASTING.has(p.code)) return { stop: { code: p.code, detail: p.detail } };
    return { wait: Math.max(this.next(), p.retryAfterMs ?? 0) };
  }
}

/** @param {number} code */
function words(code) {
  if (code === 4403) return "You are no longer a participant in this conversation.";
  if (code === 4404) return "This appointment does not exist.";
  return "Something went wrong. Please reload the page.";
}
