// @ts-check
/**
 * @module A sign-in session, for pages that have none of their own. Its tokens live as long as the tab (sessionStorage), and are
 * shared with the other tabs of this origin that are open: refresh tokens rotate, and one that is used by two would end
 * the session as stolen.
 */

import { RefusalError, isUnauthenticated, problemOf } from "./rest.js";

const KEY = "housecall-session";
const MARGIN = 90_000; // ms before its expiry at which a token is renewed, but at most a third of its life
const ASK = 150; // ms to wait for the answers of other tabs

/**
 * @typedef {object} User
 * @property {string} userId
 * @property {string} name
 * @property {string} email
 * @property {"PATIENT" | "DOCTOR" | "ADMIN"} role
 * @property {boolean} [mustChangePassword]
 */

/**
 * @typedef {object} Tokens
 * @property {string} id       of this sign-in, in this browser only
 * @property {string} access
 * @property {string} refresh
 * @property {number} ends     ms since the epoch
 * @property {number} renewAt
 * @property {User} user
 */

/** Emits `signedIn` and `signedOut`. */
export class Session extends EventTarget {
  #url;
  /** @type {Tokens | null} */
  #tokens = null;
  /** @type {Promise<string | null> | null} */
  #renewing = null;
  #others = globalThis.BroadcastChannel ? new BroadcastChannel(KEY) : null;

  /** @param {{url?: string}} options may be left out: where the service is; this page's origin by default */
  constructor({ url = globalThis.location?.origin ?? "" } = {}) {
    super();
    this.#url = url.replace(/\/+$/, "");
    if (this.#others) this.#others.onmessage = (m) => this.#hear(m.data);
  }

  /** @returns {User | null} who is signed in */
  get user() {
    return this.#tokens?.user ?? null;
  }

  /** Resumes the session of this tab, or of another open one. */
  async restore() {
    const kept = sessionStorage.getItem(KEY);
    if (kept) this.#tokens = JSON.parse(kept);
    this.#others?.postMessage({ ask: true }); // even with a session: a duplicated tab has an old one
    if (!kept && this.#others) {
      await new Promise((resolve) => {
        this.addEventListener("signedIn", resolve, { once: true });
        setTimeout(resolve, ASK);
      });
    }
    return this.user;
  }

  /**
   * @param {string} login email address or user id
   * @param {string} password
   * @returns {Promise<User>}
   */
  async signIn(login, password) {
    const answer = await this.#post("/auth/login", { login, password });
    return this.#keep(await answer.json(), crypto.getRandomValues(new Uint32Array(4)).join("-")).user;
  }

  /** Ends the session, here and in the tabs that share it, even if the service cannot be told. */
  async signOut() {
    const tokens = this.#tokens;
    if (!tokens) return;
    this.#others?.postMessage({ out: tokens.id });
    this.#drop();
    const headers = { Authorization: `Bearer ${tokens.access}` };
    await fetch(`${this.#url}/api/v1/auth/logout`, { method: "POST", headers, keepalive: true }).catch(() => {});
  }

  /** For Conversation and Inbox. @type {import("./rest.js").GetToken} */
  getToken = async (/** @type {{force?: boolean, stale?: string}} */ how = {}) => {
    const { force = false, stale } = how;
    const t = this.#tokens;
    if (!t) return null;
    const now = Date.now();
    if (force ? stale !== undefined && stale !== t.access : now < t.renewAt) return t.access;
    try {
      return await this.#renew();
    } catch (e) {
      if (!force && now < t.ends) return t.access; // the service cannot be reached, and this one is still valid
      throw e;
    }
  };

  /** Renews once for all callers, in all tabs. */
  #renew() {
    this.#renewing ??= this.#alone(() => this.#refresh()).finally(() => (this.#renewing = null));
    return this.#renewing;
  }

  /**
   * @template T
   * @param {() => Promise<T>} work
   * @returns {Promise<T>}
   */
  async #alone(work) {
    const before = this.#tokens?.access;
    if (!globalThis.navigator?.locks) return work();
    return navigator.locks.request(KEY, async () => {
      await new Promise((r) => setTimeout(r)); // so that what another tab has said is heard
      return before !== this.#tokens?.access ? /** @type {any} */ (this.#tokens?.access ?? null) : work();
    });
  }

  /** @returns {Promise<string | null>} */
  async #refresh() {
    const t = this.#tokens;
    if (!t) return null;
    let answer;
    try {
      answer = await this.#post("/auth/refresh", { refreshToken: t.refresh });
    } catch (e) {
      if (!(e instanceof RefusalError) || !isUnauthenticated(e.problem)) throw e;
      if (this.#tokens === t) this.#drop();
      return null;
    }
    const fresh = await answer.json();
    if (this.#tokens !== t) return this.#tokens?.access ?? null; // signed out meanwhile, or somebody else
    return this.#keep(fresh, t.id).access;
  }

  /**
   * @param {string} path
   * @param {object} body
   */
  async #post(path, body) {
    const answer = await fetch(`${this.#url}/api/v1${path}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    if (!answer.ok) throw new RefusalError(await problemOf(answer));
    return answer;
  }

  /**
   * @param {any} answer
   * @param {string} id
   * @returns {Tokens}
   */
  #keep(answer, id) {
    const now = Date.now();
    const life = answer.expiresIn * 1000;
    const renewAt = now + life - Math.min(MARGIN, life / 3);
    const tokens = { id, access: answer.accessToken, refresh: answer.refreshToken, ends: now + life, renewAt, user: answer.user };
    this.#take(tokens);
    this.#others?.postMessage({ tokens });
    return tokens;
  }

  /** @param {Tokens} tokens */
  #take(tokens) {
    const news = this.#tokens?.id !== tokens.id;
    this.#tokens = tokens;
    sessionStorage.setItem(KEY, JSON.stringify(tokens));
    if (news) this.dispatchEvent(new CustomEvent("signedIn"));
  }

  #drop() {
    this.#tokens = null;
    sessionStorage.removeItem(KEY);
    this.dispatchEvent(new CustomEvent("signedOut"));
  }

  /** @param {{ask?: boolean, out?: string, tokens?: Tokens}} m from another tab */
  #hear({ ask, out, tokens }) {
    const mine = this.#tokens;
    if (ask && mine) this.#others?.postMessage({ tokens: mine });
    if (out && mine?.id === out) this.#drop();
    if (tokens && (!mine || (mine.id === tokens.id && tokens.ends >= mine.ends))) this.#take(tokens);
  }
}
