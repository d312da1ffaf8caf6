// @ts-check
/** @module What is sent but not stored in the log: receipts and typing. Only the latest of each kind counts. */

const RECEIPT_EVERY = 500; // ms for which receipts are batched
const TYPING_EVERY = 2000; // ms; more often has no effect
const TYPING_STOP = 4000; // ms without a keystroke after which the user has stopped

export class Signals {
  #send;
  #delivered = { want: 0, told: 0 };
  #read = { want: 0, told: 0 };
  #toldAt = -Infinity;
  #timer = 0;
  #typedAt = -Infinity;
  #stopTimer = 0;
  #active = false;

  /** @param {(frame: any) => boolean} send false when it cannot be sent now */
  constructor(send) {
    this.#send = send;
  }

  /** @param {number} seq */
  delivered(seq) {
    this.#move(this.#delivered, seq);
  }

  /** @param {number} seq */
  read(seq) {
    this.#move(this.#read, seq);
  }

  /**
   * @param {{want: number, told: number}} cursor
   * @param {number} seq
   */
  #move(cursor, seq) {
    if (seq <= cursor.want) return;
    cursor.want = seq;
    this.#later();
  }

  /**
   * Starts over on a new connection, with what the service already knows.
   * @param {number} delivered
   * @param {number} read
   */
  rewind(delivered, read) {
    this.#delivered.told = delivered;
    this.#read.told = read;
    this.#active = false;
    this.#typedAt = -Infinity;
  }

  #later() {
    if (this.#timer) return;
    const wait = Math.max(0, this.#toldAt + RECEIPT_EVERY - performance.now());
    this.#timer = setTimeout(() => this.flush(), wait);
  }

  /** Sends what is due, if there is a connection; call it again when there is one. */
  flush() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    if (this.#tell("read", this.#read)) this.#delivered.told = Math.max(this.#delivered.told, this.#read.told); // read implies delivered
    this.#tell("delivered", this.#delivered);
  }

  /**
   * @param {string} type
   * @param {{want: number, told: number}} cursor
   */
  #tell(type, cursor) {
    if (cursor.want <= cursor.told || !this.#send({ type, upTo: cursor.want })) return false;
    cursor.told = cursor.want;
    this.#toldAt = performance.now();
    return true;
  }

  /** @param {boolean} active */
  typing(active) {
    clearTimeout(this.#stopTimer);
    if (active) this.#stopTimer = setTimeout(() => this.typing(false), TYPING_STOP);
    const now = performance.now();
    if (active === this.#active && (!active || now - this.#typedAt < TYPING_EVERY)) return;
    if (!this.#send({ type: "typing", active })) return;
    this.#active = active;
    if (active) this.#typedAt = now;
  }

  /** The message itself tells others that its writer has stopped typing. */
  sent() {
    clearTimeout(this.#stopTimer);
    this.#active = false;
    this.#typedAt = -Infinity;
  }

  end() {
    clearTimeout(this.#timer);
    clearTimeout(this.#stopTimer);
  }
}
