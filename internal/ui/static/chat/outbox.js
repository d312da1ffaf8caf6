// @ts-check
/**
 * @module The queue of messages without an ack, in the order in which they were sent. They leave it when the service
 * has acknowledged or refused them. They are written again, in order, to every new connection, and survive the page in
 * a Store.
 */

import { Owner, Store, randomId } from "./store.js";

/**
 * The outcome of a message: stored, or refused.
 * @typedef {{ok: true, seq: number, at: string, duplicate: boolean} | {ok: false, code: string, detail: string}} Outcome
 */

/**
 * A message that is waiting for the service.
 * @typedef {object} Draft
 * @property {string} clientId
 * @property {any} frame       `send`, `retract` or `correct`
 * @property {boolean} written to the present connection
 * @property {Promise<void>} kept      resolves once it would survive the page; rejects if the browser cannot store it
 * @property {Promise<Outcome>} settled
 * @property {(o: Outcome) => void} settle
 */

export class Outbox {
  /** @type {Map<string, Draft>} in the order of sending */
  #drafts = new Map();
  #store;
  #owner = new Owner();
  /** @type {Promise<unknown> | null} */
  #ready = null;
  #last = 0;
  /** @type {Set<string>} owners whose rows this page takes over when they end */
  #heirOf = new Set();

  /** @param {Store | null} store null: nothing survives the page */
  constructor(store) {
    this.#store = store;
  }

  /** @returns {Draft[]} */
  get drafts() {
    return [...this.#drafts.values()];
  }

  /**
   * @param {any} frame without its clientId
   * @returns {Draft}
   */
  add(frame) {
    const clientId = randomId();
    const draft = this.#insert(clientId, { ...frame, clientId });
    this.#last = Math.max(this.#last + 1, Date.now() * 1000);
    const row = { clientId, order: this.#last, frame: draft.frame };
    if (this.#store) draft.kept = this.#keep(this.#store, row);
    draft.kept.catch(() => {}); // not an error for callers that do not look
    return draft;
  }

  /**
   * @param {Store} store
   * @param {{clientId: string, order: number, frame: any}} row
   */
  async #keep(store, row) {
    await this.#live();
    if (!this.#drafts.has(row.clientId)) return; // settled meanwhile
    await store.put({ ...row, room: store.room, owner: this.#owner.name });
    if (!this.#drafts.has(row.clientId)) await store.remove(row.clientId);
  }

  #live() {
    this.#ready ??= this.#owner.live();
    return this.#ready;
  }

  /**
   * @param {string} clientId
   * @param {any} frame
   * @returns {Draft}
   */
  #insert(clientId, frame) {
    /** @type {(o: Outcome) => void} */
    let settle = () => {};
    const settled = new Promise((/** @type {(o: Outcome) => void} */ resolve) => (settle = resolve));
    const draft = { clientId, frame, written: false, kept: Promise.resolve(), settled, settle };
    this.#drafts.set(clientId, draft);
    return draft;
  }

  /**
   * Takes over what closed pages have left, now and whenever a page that has rows now is closed.
   * @param {() => void} adopted called whenever something was taken over
   */
  async adopt(adopted) {
    if (!this.#store) return;
    await this.#live();
    const { rows, owners } = await this.#store.claim(this.#owner.name, await this.#owner.living());
    for (const other of owners) {
      if (this.#heirOf.has(other)) continue;
      this.#heirOf.add(other);
      const inherit = () => {
        this.#heirOf.delete(other);
        return this.adopt(adopted);
      };
      this.#owner.outlive(other).then(inherit).catch(() => {}); // this page ended first, or has no database any more
    }
    const fresh = rows.filter((r) => !this.#drafts.has(r.clientId));
    if (fresh.length === 0) return;
    // They are older than what was typed on this page.
    const own = this.#drafts;
    this.#drafts = new Map();
    for (const r of fresh) this.#insert(r.clientId, r.frame);
    for (const [id, d] of own) this.#drafts.set(id, d);
    adopted();
  }

  /** @returns {Draft | undefined} the next to write; the caller sets written */
  next() {
    for (const d of this.#drafts.values()) if (!d.written) return d;
    return undefined;
  }

  /**
   * @param {string} clientId
   * @param {Outcome} outcome
   * @returns {Draft | undefined} undefined if no such draft is waiting
   */
  settle(clientId, outcome) {
    const draft = this.#drafts.get(clientId);
    if (!draft) return undefined;
    this.#drafts.delete(clientId);
    this.#store?.remove(clientId).catch(() => {}); // then it is sent again, which its clientId makes harmless
    draft.settle(outcome);
    return draft;
  }

  /** @param {string} clientId of a message that the service deferred */
  putBack(clientId) {
    const draft = this.#drafts.get(clientId);
    if (draft) draft.written = false;
  }

  /** Has everything written again, to a new connection. */
  rewind() {
    for (const d of this.#drafts.values()) d.written = false;
  }

  /** Ends, and leaves what is waiting to the next page. */
  end() {
    this.#owner.end();
  }
}
