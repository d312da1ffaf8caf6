// @ts-check
/** @module A WebSocket that reconnects: what a conversation and the inbox have in common. */

import { Backoff } from "./backoff.js";
import { problemOf } from "./rest.js";

/** @typedef {import("./backoff.js").Problem} Problem */
/** @typedef {import("./backoff.js").Reason} Reason */
/** @typedef {import("./rest.js").GetToken} GetToken */

/**
 * idle: not opened yet. connecting: an attempt is under way. catchingUp: receiving what was missed. live: receiving what
 * happens. waiting: for the next attempt. closed: permanently.
 * @typedef {"idle" | "connecting" | "catchingUp" | "live" | "waiting" | "closed"} State
 */

/**
 * @typedef {object} LinkOptions
 * @property {string} url            where the service is
 * @property {GetToken} getToken
 * @property {() => string} path     path and query of the socket, computed for each connection
 * @property {string} probe          a REST path that succeeds for whoever may connect. Browsers hide why an upgrade was refused.
 * @property {(frame: any) => void | false} onFrame every frame but those that concern the connection alone. It may throw, to
 *   have the connection dropped. False for a `live` means not yet: it calls live() itself.
 * @property {(state: State, why?: Reason) => void} onState
 * @property {boolean} [liveAtHello] hello means live: there is no catching up
 * @property {() => number} [random]
 */

const HELLO_TIMEOUT = 10_000; // ms, for the first frame
const PING_TIMEOUT = 10_000; // for any sign of life after a ping
const PROD_TIMEOUT = 4000; // the same when there is reason to doubt the connection
const AUTH_PAUSE = 5000; // between attempts to get a new token

/** One connection after another, until close() or a refusal that another attempt would not change. */
export class Link {
  #o;
  #backoff;
  /** @type {State} */
  #state = "idle";
  /** @type {WebSocket | null} */
  #socket = null;
  #turn = 0; // whatever belongs to an earlier one is ignored
  #timer = 0; // of the next attempt
  #watch = 0; // of the watchdog
  #token = "";
  #renewed = false; // whether the token was renewed since a connection was last live
  #beat = 25_000;
  #heardAt = 0;
  #pingAt = 0; // 0: no ping is unanswered
  #patience = PING_TIMEOUT;
  #liveAt = 0;
  #authDue = false; // the service waits for a new token
  /** @type {number | undefined} */
  #comeAfterMs;
  #listening = new AbortController();

  /** @param {LinkOptions} options */
  constructor(options) {
    this.#o = options;
    this.#backoff = new Backoff(options.random);
  }

  get state() {
    return this.#state;
  }

  /** Opens it, unless it has been opened before. */
  open() {
    if (this.#state !== "idle") return;
    const signal = this.#listening.signal;
    globalThis.addEventListener?.("online", () => this.#wake(), { signal });
    globalThis.addEventListener?.("offline", () => this.#prod(), { signal });
    globalThis.document?.addEventListener("visibilitychange", () => document.hidden || this.#wake(), { signal });
    this.#attempt(false);
  }

  /**
   * Closes it permanently.
   * @param {Reason} [why]
   */
  close(why = { code: "closed", detail: "" }) {
    this.#stop(why);
  }

  /**
   * @param {unknown} frame
   * @returns {boolean} false when there is no connection: nothing was sent
   */
  send(frame) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  /** Drops the connection, and reconnects as if it had broken. */
  drop() {
    if (this.#socket) this.#ended(1006);
  }

  /**
   * @param {State} state
   * @param {Reason} [why]
   */
  #to(state, why) {
    if (this.#state === state) return;
    this.#state = state;
    this.#o.onState(state, why);
  }

  /** @param {boolean} force */
  async #attempt(force) {
    const turn = ++this.#turn;
    clearTimeout(this.#timer);
    this.#to("connecting");
    let token;
    try {
      token = await this.#o.getToken(force ? { force, stale: this.#token } : {});
    } catch {
      if (turn === this.#turn) this.#wait(this.#backoff.next());
      return;
    }
    if (turn !== this.#turn) return;
    if (token === null) return this.#signedOut();
    this.#token = token;
    const base = this.#o.url.replace(/^http/, "ws").replace(/\/+$/, "");
    const socket = new WebSocket(base + this.#o.path(), ["housecall.v1", `housecall.bearer.${token}`]);
    this.#socket = socket;
    this.#liveAt = this.#pingAt = 0;
    this.#authDue = false;
    this.#comeAfterMs = undefined;
    let opened = false;
    this.#watch = setTimeout(() => turn === this.#turn && this.#ended(1006), HELLO_TIMEOUT);
    socket.onopen = () => (opened = true);
    socket.onmessage = (m) => turn === this.#turn && this.#hear(m.data);
    socket.onclose = (e) => {
      if (turn !== this.#turn) return;
      if (opened) this.#ended(e.code);
      else this.#refused(turn);
    };
  }

  /** @param {string} data */
  #hear(data) {
    this.#heardAt = performance.now();
    this.#pingAt = 0;
    try {
      this.#handle(JSON.parse(data));
    } catch (e) {
      // What cannot be understood or continued is requested again. The backoff keeps that from becoming a storm.
      console.warn("housecall: dropping the connection:", e);
      this.drop();
    }
  }

  /** @param {any} f */
  #handle(f) {
    switch (f.type) {
      case "pong":
        return;
      case "bye":
        this.#comeAfterMs = f.reconnectAfterMs;
        return;
      case "authExpiring":
        this.#renewAuth();
        return;
      case "authOk":
        this.#authDue = false;
        return;
      case "error":
        if (f.code === "unavailable" && this.#authDue) this.#retryAuth();
        break;
      case "hello":
        this.#beat = (f.heartbeatSeconds || 25) * 1000;
        clearTimeout(this.#watch);
        this.#watchOver();
        if (!this.#o.liveAtHello) this.#to("catchingUp");
        break;
    }
    const there = f.type === (this.#o.liveAtHello ? "hello" : "live");
    if (this.#o.onFrame(f) !== false && there) this.live();
  }

  /** Notes that catching up is over. */
  live() {
    if (!this.#socket) return;
    this.#liveAt = performance.now();
    this.#renewed = false;
    this.#to("live");
  }

  /** Browsers answer the service's pings out of sight, so silence means nothing: send a ping. */
  #watchOver() {
    const turn = this.#turn;
    const now = performance.now();
    const deadline = this.#pingAt ? this.#pingAt + this.#patience : this.#heardAt + this.#beat;
    if (now >= deadline && this.#pingAt) return this.#ended(1006);
    let next = deadline;
    if (now >= deadline) {
      this.#ping(PING_TIMEOUT);
      next = now + PING_TIMEOUT;
    }
    clearTimeout(this.#watch);
    this.#watch = setTimeout(() => turn === this.#turn && this.#watchOver(), Math.max(50, next - now));
  }

  /** @param {number} patience */
  #ping(patience) {
    this.#pingAt = performance.now();
    this.#patience = patience;
    this.send({ type: "ping" });
  }

  /** Pings a connection that may have died unnoticed. */
  #prod() {
    if (!this.#socket || this.#socket.readyState !== WebSocket.OPEN || this.#pingAt) return;
    this.#ping(PROD_TIMEOUT);
    this.#watchOver();
  }

  /** The network or the user is back. */
  #wake() {
    if (this.#state === "waiting") this.#attempt(false);
    else this.#prod();
  }

  /** Abandons the socket without waiting for a dead network to close it. */
  #release() {
    this.#turn++;
    clearTimeout(this.#watch);
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  /** @param {number} code */
  #ended(code) {
    const liveMs = this.#liveAt ? Math.max(1, performance.now() - this.#liveAt) : 0;
    this.#release();
    this.#follow({ code, liveMs, comeAfterMs: this.#comeAfterMs });
  }

  /** @param {number} turn of the attempt that failed */
  async #refused(turn) {
    clearTimeout(this.#watch);
    this.#socket = null;
    /** @type {Problem | undefined} */
    let problem;
    try {
      const answer = await fetch(`${this.#o.url.replace(/\/+$/, "")}/api/v1${this.#o.probe}`, {
        headers: { Authorization: `Bearer ${this.#token}` },
        signal: /** @type {any} */ (AbortSignal).timeout(HELLO_TIMEOUT), // newer than some compilers' type definitions
      });
      if (!answer.ok) problem = await problemOf(answer);
    } catch {
      // The service cannot be reached, which is not a refusal.
    }
    if (turn !== this.#turn) return;
    this.#follow({ code: 1006, liveMs: 0, problem });
  }

  /** @param {import("./backoff.js").Ending} end */
  #follow(end) {
    const verdict = this.#backoff.judge(end);
    if ("stop" in verdict) return this.#stop(verdict.stop);
    if ("wait" in verdict) return this.#wait(verdict.wait);
    if (this.#renewed) return this.#signedOut();
    this.#renewed = true;
    this.#attempt(true);
  }

  /** @param {number} ms */
  #wait(ms) {
    this.#to("waiting");
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#attempt(false), ms);
  }

  #signedOut() {
    this.#stop({ code: "signed_out", detail: "Please sign in again." });
  }

  /** @param {Reason} why */
  #stop(why) {
    if (this.#state === "closed") return;
    this.#release();
    this.#listening.abort();
    this.#to("closed", why);
  }

  /**
   * Sends a new token before the old one expires. If that fails, the service closes the connection, and the next one gets a
   * new token.
   */
  async #renewAuth() {
    const turn = this.#turn;
    this.#authDue = true;
    let token;
    try {
      token = await this.#o.getToken({ force: true, stale: this.#token });
    } catch {
      if (turn === this.#turn) this.#retryAuth();
      return;
    }
    if (turn !== this.#turn || token === null) return;
    this.#token = token;
    this.send({ type: "auth", token });
  }

  #retryAuth() {
    const turn = this.#turn;
    const token = this.#token;
    setTimeout(() => {
      if (turn !== this.#turn || !this.#authDue) return;
      if (token === this.#token) this.#renewAuth();
    }, AUTH_PAUSE);
  }
}
