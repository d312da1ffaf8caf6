// @ts-check
/** @module The addresses of an appointment's conversation, and what it does over REST. */

import { Rest } from "./rest.js";

/** @typedef {{seq: number, epoch: string}} Cursor where a conversation stands: the last event processed, in which history */

/**
 * @typedef {object} ConversationOptions
 * @property {string} appointmentId
 * @property {string} userId         who is signed in; what is waiting is kept for them alone
 * @property {import("./rest.js").GetToken} getToken
 * @property {string} [url]          where the service is; this page's origin by default
 * @property {"recent" | "stored" | Cursor} [resume] what to begin with: the last 50 events (default), what follows the event
 *   at which this browser stopped the last time, or what follows a cursor
 * @property {boolean} [keep]        keep unsent messages across reloads, in IndexedDB (default true)
 * @property {() => number} [random] for tests
 */

export class Appointment {
  #id;
  #rest;

  /**
   * @param {string} url
   * @param {import("./rest.js").GetToken} getToken
   * @param {string} appointmentId
   */
  constructor(url, getToken, appointmentId) {
    this.#id = encodeURIComponent(appointmentId);
    this.#rest = new Rest(url, getToken);
  }

  /** The appointment, in the REST API. */
  get path() {
    return `/appointments/${this.#id}`;
  }

  /**
   * @param {Cursor | undefined} after
   * @returns {string} path and query of the socket
   */
  socket(after) {
    const path = `/ws/appointments/${this.#id}`;
    return after ? `${path}?after=${after.seq}&epoch=${encodeURIComponent(after.epoch)}` : path;
  }

  /**
   * @param {number} seq
   * @param {number} limit at most 100
   * @returns {Promise<import("./timeline.js").ChatEvent[]>} the page that ends before seq, oldest first
   */
  async before(seq, limit) {
    return (await this.#rest.json(`${this.path}/messages?before=${seq}&limit=${limit}`)).items;
  }

  /**
   * @param {File} file
   * @param {AbortSignal} [signal]
   * @returns {Promise<import("./timeline.js").Attachment>}
   */
  async upload(file, signal) {
    const body = new FormData();
    body.append("file", file, file.name);
    return (await this.#rest.fetch(`${this.path}/attachments`, { method: "POST", body, signal })).json();
  }

  /**
   * @param {import("./timeline.js").Attachment} attachment
   * @param {{thumbnail?: boolean, signal?: AbortSignal}} how may be left out
   * @returns {Promise<Blob>}
   */
  async download(attachment, { thumbnail = false, signal } = {}) {
    const path = `${this.path}/attachments/${encodeURIComponent(attachment.id)}${thumbnail ? "/thumbnail" : ""}`;
    return (await this.#rest.fetch(path, { signal })).blob();
  }
}
