// @ts-check
/** @module One user's part in one conversation. See housecall-chat.js for how to use it. */

import { Courier } from "./courier.js";
import { Link } from "./link.js";
import { People } from "./people.js";
import { Appointment } from "./appointment.js";
import { Signals } from "./signals.js";
import { Store } from "./store.js";
import { Timeline } from "./timeline.js";

/** @typedef {import("./timeline.js").ChatEvent} ChatEvent */
/** @typedef {import("./timeline.js").Attachment} Attachment */
/** @typedef {import("./outbox.js").Draft} Draft */
/** @typedef {import("./people.js").Participant} Participant */
/** @typedef {import("./link.js").State} State */
/** @typedef {import("./link.js").Reason} Reason */

/** @typedef {import("./appointment.js").Cursor} Cursor */

/** @typedef {import("./appointment.js").ConversationOptions} ConversationOptions */

const RECENT = 50; // events that are loaded at first
const CURSOR_EVERY = 200; // ms

export class Conversation extends EventTarget {
  #o;
  #appointment;
  #link;
  #courier;
  #store;
  #signals;
  #people;
  #timeline = new Timeline();
  /** @type {Partial<Cursor>} */
  #cursor = {};
  /** @type {any[] | null} frames that are waiting for the history */
  #held = null;
  #reloads = 0;
  #cursorTimer = 0;
  #leaving = new AbortController();

  /** @type {Reason | undefined} why it is closed */
  why;
  /** @type {{userId: string, role: string, name: string} | undefined} */
  you;
  /** @type {{id: string, status: string, startsAt?: string, endsAt?: string, version: number} | undefined} */
  appointment;
  canReply = false;
  /** @type {string | undefined} */
  whyNot;
  notice = "";
  limits = { messageChars: 4000, frameBytes: 65536, perSecond: 0 };

  /** @param {ConversationOptions} options */
  constructor(options) {
    super();
    const url = options.url ?? globalThis.location?.origin ?? "";
    this.#o = options;
    this.#appointment = new Appointment(url, options.getToken, options.appointmentId);
    const keep = options.keep !== false && Boolean(globalThis.indexedDB);
    this.#store = keep ? new Store(`${options.userId}/${options.appointmentId}`) : null;
    this.#link = new Link({
      url,
      getToken: options.getToken,
      random: options.random,
      probe: this.#appointment.path,
      path: () => this.#appointment.socket(this.cursor),
      onFrame: (f) => this.#receive(f),
      onState: (state, why) => this.#moved(state, why),
    });
    this.#courier = new Courier(this.#store, (f) => isUp(this.#link.state) && this.#link.send(f));
    this.#signals = new Signals((f) => this.#link.state === "live" && this.#link.send(f));
    this.#people = new People(options.userId, (type, participant) => this.#emit(type, { participant }));
  }

  /** @returns {State} */
  get state() {
    return this.#link.state;
  }

  /** @returns {readonly ChatEvent[]} what has been received, in its present form, oldest first, without gaps */
  get events() {
    return this.#timeline.events;
  }

  /** @param {number} seq */
  event(seq) {
    return this.#timeline.get(seq);
  }

  /** @returns {Draft[]} messages that are neither stored nor refused, in the order of sending */
  get pending() {
    return this.#courier.drafts;
  }

  /** @returns {Map<string, Participant>} the patient and the doctor, by user id; empty before the first hello */
  get participants() {
    return this.#people.all;
  }

  /** @returns {boolean} */
  get hasOlder() {
    return this.#timeline.hasOlder;
  }

  /** @returns {Cursor | undefined} for `resume`, later */
  get cursor() {
    const { seq, epoch } = this.#cursor;
    return seq === undefined || epoch === undefined ? undefined : { seq, epoch };
  }

  /** Connects. When it resolves, `pending` has the messages that an earlier page left; they are sent with the others. */
  async connect() {
    const { resume } = this.#o;
    if (typeof resume === "object") this.#cursor = { ...resume };
    else if (resume === "stored") this.#cursor = (await this.#store?.cursor().catch(() => undefined)) ?? {};
    await this.#adopt();
    const signal = this.#leaving.signal;
    globalThis.addEventListener?.("pagehide", () => this.#signals.flush(), { signal }); // so that receipts do not wait for the next visit
    this.#link.open();
  }

  /** Closes it permanently. What is waiting is left to the next page. */
  close() {
    this.#signals.flush();
    this.#link.close();
  }

  /**
   * Queues a message. It is sent until the service has stored or refused it, if need be by a later page.
   * @param {string} text
   * @returns {Draft}
   */
  send(text) {
    this.#signals.sent();
    return this.#enqueue({ type: "send", text });
  }

  /**
   * Uploads a file and queues a message with it. The upload needs a connection: it does not survive a reload, and rejects
   * at once when the service cannot be reached.
   * @param {File} file
   * @param {AbortSignal} [signal]
   * @returns {Promise<Draft>}
   */
  async attach(file, signal) {
    const { id } = await this.#appointment.upload(file, signal);
    return this.#enqueue({ type: "send", attachmentId: id });
  }

  /**
   * Downloads a file, or its thumbnail. There is no URL for it, because that would have to contain the token.
   * @param {Attachment} attachment
   * @param {{thumbnail?: boolean, signal?: AbortSignal}} [how]
   * @returns {Promise<Blob>}
   */
  download(attachment, how) {
    return this.#appointment.download(attachment, how);
  }

  /**
   * Queues the retraction of a message of the user's own.
   * @param {number} seq
   * @returns {Draft}
   */
  retract(seq) {
    return this.#enqueue({ type: "retract", target: seq });
  }

  /**
   * Queues a correction of a message of the user's own.
   * @param {number} seq
   * @param {string} text
   * @returns {Draft}
   */
  correct(seq, text) {
    return this.#enqueue({ type: "correct", target: seq, text });
  }

  /** Call it at each keystroke: others are told as often as is useful, and that the user has stopped after 4 s without one. */
  typing(active = true) {
    this.#signals.typing(active);
  }

  /** Reports that the user has seen every event up to seq, by default all. Calls are batched. */
  markRead(seq = this.#cursor.seq ?? 0) {
    this.#signals.read(seq);
  }

  /** @returns {number} messages of others that the user has not read on any device */
  get unread() {
    const read = this.participants.get(this.#o.userId)?.readSeq ?? 0;
    return this.events.filter((e) => e.seq > read && isMessage(e) && e.sender !== this.#o.userId && !e.retracted).length;
  }

  /**
   * Loads a page of older events.
   * @param {number} [limit] at most 100
   * @returns {Promise<readonly ChatEvent[]>} what was added, oldest first; none when there is no more
   */
  async loadOlder(limit = RECENT) {
    if (!this.hasOlder) return [];
    const reload = this.#reloads;
    const page = await this.#appointment.before(this.events[0].seq, limit);
    return reload === this.#reloads ? this.#timeline.prepend(page) : [];
  }

  /** @param {any} frame */
  #enqueue(frame) {
    const draft = this.#courier.add(frame);
    this.#emit("pending", { draft });
    this.#courier.pump();
    return draft;
  }

  async #adopt() {
    try {
      await this.#courier.adopt(() => {
        this.#emit("pending", {});
        this.#courier.pump();
      });
    } catch (e) {
      console.warn("housecall: could not read the messages that an earlier page left:", e);
    }
  }


  /**
   * @param {State} state
   * @param {Reason} [why]
   */
  #moved(state, why) {
    this.why = why;
    if (state === "waiting" || state === "closed") {
      this.#held = null;
      this.#reloads++;
      this.#people.lostSight();
    }
    if (state === "live") this.#adopt();
    if (state === "closed") {
      this.#leaving.abort();
      this.#storeCursor();
      this.#courier.end();
      this.#signals.end();
    }
    this.#emit("state", { state, why });
    if (state === "live") this.#signals.flush(); // with what has just been read
  }

  /**
   * @param {any} f
   * @returns {void | false}
   */
  #receive(f) {
    if (!this.#held) return this.#handle(f);
    this.#held.push(f);
    return false;
  }

  /** @param {any} f */
  #handle(f) {
    switch (f.type) {
      case "hello":
        return this.#greet(f);
      case "event":
        return this.#event(f);
      case "reset":
        return void this.#reload(f.headSeq, f.reason);
      case "live":
        this.#cursor.seq ??= f.headSeq; // a log without events
        return;
      case "ack":
        return this.#settle(f.clientId, { ok: true, seq: f.seq, at: f.at, duplicate: f.duplicate === true });
      case "nack":
        return f.retry === "later" ? this.#courier.defer(f.clientId) : this.#settle(f.clientId, { ok: false, code: f.code, detail: f.detail });
      case "receipt":
        return this.#people.receipt(f);
      case "typing":
        return this.#people.typing(f.userId, f.active);
      case "presence":
        return this.#people.presence(f);
      case "appointment":
        return this.#changed(f);
      case "error":
        return this.#emit("complaint", { code: f.code, detail: f.detail });
    }
  }

  /** @param {any} f */
  #greet(f) {
    if (f.you.userId !== this.#o.userId) {
      this.#link.close({ code: "wrong_user", detail: "Someone else is signed in now. Please reload the page." });
      throw new Error("the token belongs to another user"); // they must not send what is waiting here
    }
    this.#cursor.epoch ??= f.epoch;
    if (this.#cursor.epoch !== f.epoch) this.#cursor = { epoch: f.epoch }; // reset follows
    this.you = f.you;
    this.#people.meet(f.participants);
    this.limits = f.limits;
    this.notice = f.notice;
    const mine = this.participants.get(this.#o.userId);
    this.#signals.rewind(mine?.deliveredSeq ?? 0, mine?.readSeq ?? 0);
    this.#changed(f);
    this.#emit("hello", {});
    this.#courier.begin(f.limits.perSecond);
  }

  /** @param {any} f hello also tells the state of the appointment */
  #changed(f) {
    this.appointment = f.appointment;
    this.canReply = f.canReply;
    this.whyNot = f.whyNot;
    this.#emit("appointment", {});
  }

  /** @param {ChatEvent & {type?: string}} e */
  #event(e) {
    const at = this.#cursor.seq;
    if (at !== undefined && e.seq <= at) return;
    if (at !== undefined && e.seq > at + 1) throw new Error("the service skipped an event");
    delete e.type;
    this.#cursor.seq = e.seq;
    this.#keepCursor();
    const changed = this.#timeline.append(e);
    if (e.sender) this.#people.typing(e.sender, false);
    this.#emit("event", { event: e });
    if (changed) this.#emit("changed", { event: changed });
    if (e.sender === this.#o.userId && e.clientId) this.#settle(e.clientId, { ok: true, seq: e.seq, at: e.at, duplicate: false });
    else this.#signals.delivered(e.seq);
  }

  /**
   * Forgets the events that cannot be continued, and loads the end of the log. Frames that arrive meanwhile wait.
   * @param {number} head
   * @param {string} reason
   */
  async #reload(head, reason) {
    const reload = ++this.#reloads;
    this.#held = [];
    try {
      const page = head > 0 ? await this.#appointment.before(head + 1, RECENT) : [];
      if (reload !== this.#reloads) return;
      this.#timeline.clear();
      this.#cursor.seq = undefined;
      this.#emit("reset", { reason });
      for (const e of page) this.#event(e);
      this.#cursor.seq = head;
      const held = this.#held ?? [];
      this.#held = null;
      for (const f of held) {
        this.#handle(f);
        if (f.type === "live") this.#link.live();
      }
    } catch (e) {
      console.warn("housecall: could not load the history:", e);
      if (reload === this.#reloads) this.#link.drop(); // and reconnect later, to be told to reset again
    }
  }

  /**
   * @param {string} clientId
   * @param {import("./outbox.js").Outcome} outcome
   */
  #settle(clientId, outcome) {
    const draft = this.#courier.settle(clientId, outcome);
    if (draft) this.#emit("settled", { draft, outcome });
  }

  #keepCursor() {
    if (this.#o.resume === "stored") this.#cursorTimer ||= setTimeout(() => this.#storeCursor(), CURSOR_EVERY);
  }

  #storeCursor() {
    clearTimeout(this.#cursorTimer);
    this.#cursorTimer = 0;
    if (this.#o.resume === "stored" && this.cursor) this.#store?.keepCursor(this.cursor).catch(() => {});
  }

  /**
   * @param {string} type
   * @param {object} detail
   */
  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** @param {ChatEvent} e */
function isMessage(e) {
  return e.kind === "text" || e.kind === "attachment";
}

/** @param {State} state */
function isUp(state) {
  return state === "live" || state === "catchingUp";
}
