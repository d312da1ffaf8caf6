// @ts-check
/** @module What is unread and what changes in all of the user's appointments. See housecall-chat.js for how to use it. */

import { Link } from "./link.js";

/**
 * @typedef {object} Unread
 * @property {string} appointmentId
 * @property {number} unread
 * @property {number} headSeq
 * @property {number} readSeq
 * @property {{userId: string, role: string, name: string}} from the other participant
 * @property {string} at when the conversation last grew
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
  /** Unread messages in all conversations. */
  total = 0;
  /** Whether more is unread than `unread` holds: GET /api/v1/me/unread has everything. */
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

  connect() {
    this.#link.open();
  }

  close() {
    this.#link.close();
  }

  /** @param {any} f */
  #receive(f) {
    if (typeof f.total === "number") this.total = f.total;
    switch (f.type) {
      case "hello":
        this.unread = new Map(f.unread.map((/** @type {Unread} */ u) => [u.appointmentId, u]));
        this.more = f.more === true;
        return this.#emit("hello", {});
      case "unread": {
        const { type: _, total: __, ...unread } = f;
        if (f.unread > 0) this.unread.set(f.appointmentId, unread);
        else this.unread.delete(f.appointmentId);
        return this.#emit("unread", { unread });
      }
      case "appointment": {
        const { type: _, ...detail } = f;
        return this.#emit("appointment", detail);
      }
      case "gone":
        this.unread.delete(f.appointmentId);
        return this.#emit("gone", { appointmentId: f.appointmentId });
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
