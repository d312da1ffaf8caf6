// @ts-check
/** @module The events of a conversation in their present form, without gaps between the first and the last. */

/**
 * A file that a message sends.
 * @typedef {object} Attachment
 * @property {string} id
 * @property {string} name
 * @property {string} mediaType
 * @property {number} size in bytes
 * @property {string} sha256
 * @property {number} [width]
 * @property {number} [height]
 * @property {boolean} [thumbnail]
 */

/**
 * An event of the log.
 * @typedef {object} ChatEvent
 * @property {number} seq
 * @property {"text" | "attachment" | "system" | "retraction" | "correction"} kind
 * @property {string} [clientId]
 * @property {string} [sender]
 * @property {string} [text]      in its present form
 * @property {Attachment} [attachment]
 * @property {number} [target]    seq of the message that is retracted or corrected
 * @property {boolean} [retracted]
 * @property {number} [correctedBy]
 * @property {string} at
 */

export class Timeline {
  /** @type {ChatEvent[]} */
  #events = [];
  /** @type {Map<number, ChatEvent>} the latest edit of each target, for pages that were read before it came */
  #edits = new Map();

  /** @returns {readonly ChatEvent[]} oldest first; also retractions and corrections, which are not shown by themselves */
  get events() {
    return this.#events;
  }

  /**
   * @param {number} seq
   * @returns {ChatEvent | undefined}
   */
  get(seq) {
    return this.#events[seq - (this.#events[0]?.seq ?? 0)];
  }

  /** @returns {boolean} whether there are older events than those here */
  get hasOlder() {
    return this.#events.length > 0 && this.#events[0].seq > 1;
  }

  /**
   * Adds the event that follows the last one.
   * @param {ChatEvent} e
   * @returns {ChatEvent | undefined} an earlier event that this one changed
   */
  append(e) {
    this.#events.push(e);
    if (e.kind !== "retraction" && e.kind !== "correction") return undefined;
    this.#edits.set(e.target ?? 0, e);
    const target = this.get(e.target ?? 0);
    return target && this.#apply(target, e) ? target : undefined;
  }

  /**
   * Adds a page of older events.
   * @param {ChatEvent[]} page oldest first; what is here already is left out
   * @returns {ChatEvent[]} what was added
   */
  prepend(page) {
    const first = this.#events[0]?.seq ?? Infinity;
    const older = page.filter((e) => e.seq < first);
    for (const e of older) {
      const edit = this.#edits.get(e.seq);
      if (edit) this.#apply(e, edit);
    }
    this.#events.unshift(...older);
    return older;
  }

  clear() {
    this.#events = [];
    this.#edits.clear();
  }

  /**
   * @param {ChatEvent} target
   * @param {ChatEvent} edit
   * @returns {boolean} whether that changed anything
   */
  #apply(target, edit) {
    if (target.retracted) return false; // a retraction is final
    if (edit.kind === "retraction") {
      for (const e of this.#events) if (e.kind === "correction" && e.target === target.seq) delete e.text;
      target.retracted = true;
      delete target.text;
      delete target.attachment;
      delete target.correctedBy;
      return true;
    }
    if (edit.text === undefined || (target.correctedBy ?? 0) >= edit.seq) return false;
    target.text = edit.text;
    target.correctedBy = edit.seq;
    return true;
  }
}
