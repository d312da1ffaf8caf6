// @ts-check
/** @module Who takes part in a conversation, and what is known about them. */

/**
 * @typedef {object} Participant
 * @property {string} userId
 * @property {"PATIENT" | "DOCTOR"} role
 * @property {string} name
 * @property {boolean | null} online null: unknown at present
 * @property {number} deliveredSeq
 * @property {number} readSeq
 * @property {boolean} [typing]
 */

const TYPING_LASTS = 6000; // ms, unless repeated

export class People {
  #me;
  #tell;
  /** @type {Map<string, number>} */
  #typists = new Map();
  /** @type {Map<string, Participant>} */
  all = new Map();

  /**
   * @param {string} me
   * @param {(type: "receipt" | "typing" | "presence", who: Participant) => void} tell
   */
  constructor(me, tell) {
    this.#me = me;
    this.#tell = tell;
  }

  /** @param {Participant[]} participants as hello names them */
  meet(participants) {
    this.all = new Map(participants.map((p) => [p.userId, p]));
  }

  /** @param {{userId: string, deliveredSeq: number, readSeq: number}} f */
  receipt(f) {
    const p = this.all.get(f.userId);
    if (!p) return;
    p.deliveredSeq = Math.max(p.deliveredSeq, f.deliveredSeq);
    p.readSeq = Math.max(p.readSeq, f.readSeq);
    this.#tell("receipt", p);
  }

  /** @param {{userId: string, online: boolean | null}} f */
  presence(f) {
    const p = this.all.get(f.userId);
    if (!p) return;
    p.online = f.online;
    this.#tell("presence", p);
  }

  /**
   * Someone is typing, or has stopped: they said so, their message came, or nothing was heard for a while.
   * @param {string} userId
   * @param {boolean} active
   */
  typing(userId, active) {
    const p = this.all.get(userId);
    if (!p || userId === this.#me) return;
    clearTimeout(this.#typists.get(userId));
    this.#typists.delete(userId);
    if (active) this.#typists.set(userId, setTimeout(() => this.typing(userId, false), TYPING_LASTS));
    if (Boolean(p.typing) === active) return;
    p.typing = active;
    this.#tell("typing", p);
  }

  /** Without a connection it is unknown who is online. */
  lostSight() {
    for (const p of this.all.values()) {
      if (p.userId === this.#me) continue;
      this.typing(p.userId, false);
      if (p.online === null) continue;
      p.online = null;
      this.#tell("presence", p);
    }
  }
}
