// @ts-check
/** @module Sends what is waiting, in order and no faster than the service allows. */

import { Outbox } from "./outbox.js";

const DEFER = 1000; // ms before a message that was deferred is sent again

export class Courier extends Outbox {
  #send;
  #pace = new Pace(0);
  #resumeAt = 0;
  #timer = 0;

  /**
   * @param {import("./store.js").Store | null} store
   * @param {(frame: any) => boolean} send false when it cannot be sent now
   */
  constructor(store, send) {
    super(store);
    this.#send = send;
  }

  /**
   * Starts over on a new connection, with everything that is waiting.
   * @param {number} perSecond
   */
  begin(perSecond) {
    this.#pace = new Pace(perSecond);
    this.#resumeAt = 0;
    this.rewind();
    this.pump();
  }

  /** @param {string} clientId of a message that the service deferred */
  defer(clientId) {
    this.putBack(clientId);
    this.#resumeAt = performance.now() + DEFER;
    this.pump();
  }

  /** Writes what can be written now, and schedules the rest. */
  pump() {
    clearTimeout(this.#timer);
    for (let draft = this.next(); draft; draft = this.next()) {
      const wait = Math.max(0, this.#resumeAt - performance.now()) || this.#pace.take();
      if (wait > 0) {
        this.#timer = setTimeout(() => this.pump(), wait);
        return;
      }
      if (!this.#send(draft.frame)) return;
      draft.written = true;
    }
  }

  end() {
    clearTimeout(this.#timer);
    super.end();
  }
}

/** Limits a rate: a second's worth at once, the rest evenly, so that a long queue does not exceed the service's limits. */
class Pace {
  #perSecond;
  #left;
  #at = performance.now();

  /** @param {number} perSecond 0 for none */
  constructor(perSecond) {
    this.#perSecond = perSecond;
    this.#left = perSecond;
  }

  /** @returns {number} 0 if one more may go now, which is counted; otherwise the ms to wait before asking again */
  take() {
    if (!this.#perSecond) return 0;
    const now = performance.now();
    this.#left = Math.min(this.#perSecond, this.#left + ((now - this.#at) / 1000) * this.#perSecond);
    this.#at = now;
    if (this.#left < 1) return Math.ceil(((1 - this.#left) / this.#perSecond) * 1000);
    this.#left--;
    return 0;
  }
}
