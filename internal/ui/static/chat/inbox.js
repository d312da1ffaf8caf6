// @ts-check
/** @module What is unread and what changes in all of one's appointments. See housecall-chat.js for how to use it. */

import { Link } from "./link.js";

/**
 * @typedef {object} Unread
 * @property {string} appointmentId
 * @property {number} unread
 * @property {number} headSeq
 * @property {any} [from] who wrote last
 * @property {string} [at]
 */

/**
 * @typedef {object} InboxOptions
 * @property {import("./rest.js").GetToken} getToken
 * @property {string} [url]          where the service is; this page's origin by default
 * @property {() => number} [random] for tests
 */

export class Inbox extends EventTarget {
  #link;
  /** @type {Map<string, Unread>} by appointment id; only conversations with something unread */
  unread = new Map();
  /** There is more unread than `unread` tells: GET /api/v1/me/unread has all. */
  more = false;
  /** @type {import("./link.js").Reason | undefined} */
  why;

  /** @param {InboxOptions} options */
  constructor({ getToken, url = globalThis.location?.origin ?? "", random }) {
    super();
    this.#link = new Link({
      url,
      getToken,
      random,
      probe: "/me/unread?limit=1",
      path: () => "/ws/inbox",
      liveAtHello: true,
      onFrame: (f) => this.#receive(f),
      onState: (state, why) => {
        this.why = why;
        this.#emit("state", { state, why });
      },
    });
  }

  /** @returns {import("./link.js").State} */
  get state() {
    return this.#link.state;
  }

  /** @returns {number} unread messages in the conversations of `unread` */
  get total() {
    let n = 0;
    for (const u of this.unread.values()) n += u.unread;
    return n;
  }

  connect() {
    this.#link.open();
  }

  close() {
    this.#link.close();
  }

  /** @param {any} f */
  #receive(f) {
    switch (f.type) {
      case "hello":
        this.unread = new Map((f.unread ?? []).map((/** @type {Unread} */ u) => [u.appointmentId, u]));
        this.more = f.more === true;
        return this.#emit("hello", {});
      case "unread": {
        const { type, ...unread } = f;
        if (f.unread > 0) this.unread.set(f.appointmentId, unread);
        else this.unread.delete(f.appointmentId);
        return this.#emit("unread", { unread });
      }
      case "appointment":
        return this.#emit("appointment", { appointment: f.appointment ?? f });
    }
  }

  /**
   * @param {string} type
   * @param {object} detail
   */
  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
