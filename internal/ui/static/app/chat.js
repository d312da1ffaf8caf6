// @ts-check
/** @module The page of one conversation. */

import { Conversation } from "../housecall-chat.js";
import { Bubbles } from "./bubbles.js";
import { Composer } from "./composer.js";
import { ProposalLine } from "./proposal.js";
import { find, setTime, show, statusInWords, template, whyInWords } from "./templates.js";

const NEAR = 80; // px from the end of the log that still count as its end

/**
 * @param {import("../chat/session.js").Session} session
 * @param {import("../chat/session.js").User} user
 * @param {string} appointmentId
 * @param {(title: string, text: string) => void} say shows a message instead of this view
 * @returns {() => void} ends it
 */
export function chatView(session, user, appointmentId, say) {
  const main = show(template("chat-view"), { title: "Conversation", wide: true });
  const chat = new Conversation({ appointmentId, userId: user.userId, getToken: session.getToken });
  const view = new ChatView(main, chat, user.userId, say);
  const proposal = new ProposalLine(find(main, "#proposal"), session, appointmentId, user.userId);
  chat.addEventListener("appointment", () => proposal.show());
  chat.connect();
  return () => view.leave();
}

class ChatView {
  #main;
  #chat;
  #me;
  #say;
  #bubbles;
  #composer;
  #scroll;
  #atEnd = true;
  #ended = new AbortController();

  /**
   * @param {HTMLElement} main
   * @param {Conversation} chat
   * @param {string} me
   * @param {(title: string, text: string) => void} say
   */
  constructor(main, chat, me, say) {
    this.#main = main;
    this.#chat = chat;
    this.#me = me;
    this.#say = say;
    this.#scroll = find(main, "#scroll");
    this.#composer = new Composer(main, chat);
    this.#bubbles = new Bubbles(main, chat, me, {
      correct: (e) => this.#composer.correct(e),
      again: (text) => this.#composer.put(text),
      grown: () => this.#atEnd && this.#toEnd(),
    });
    this.#listen();
    this.#showState();
  }

  leave() {
    this.#ended.abort();
    this.#chat.close();
    this.#bubbles.end();
  }

  #listen() {
    const signal = this.#ended.signal;
    /**
     * @param {string} type
     * @param {(detail: any) => void} f
     */
    const on = (type, f) => this.#chat.addEventListener(type, (e) => f(/** @type {CustomEvent} */ (e).detail), { signal });
    on("state", () => this.#showState());
    on("hello", () => this.#showPeople());
    on("appointment", () => this.#showAppointment());
    on("event", ({ event }) => this.#add(event));
    on("changed", ({ event }) => this.#bubbles.change(event));
    on("reset", () => this.#bubbles.clear());
    on("pending", () => this.#showPending());
    on("settled", ({ draft, outcome }) => {
      this.#bubbles.settle(draft, outcome);
      this.#showState();
    });
    on("receipt", () => this.#bubbles.ticks());
    on("presence", () => this.#showPeople());
    on("typing", () => this.#showTyping());
    this.#scroll.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    document.addEventListener("visibilitychange", () => this.#see(), { signal });
    window.addEventListener("focus", () => this.#see(), { signal });
    find(this.#main, "#newer").addEventListener("click", () => this.#toEnd());
    find(this.#main, "#older").addEventListener("click", () => this.#loadOlder());
  }

  #other() {
    return [...this.#chat.participants.values()].find((p) => p.userId !== this.#me);
  }

  #showState() {
    const { state, why, pending } = this.#chat;
    const banner = find(this.#main, "#banner");
    this.#main.dataset.state = state; // what tests wait for
    if (state === "closed") return this.#showEnd(why);
    const waiting = pending.length === 1 ? "1 message is" : `${pending.length} messages are`;
    banner.textContent = `You are offline. ${pending.length > 0 ? `${waiting} waiting to be sent.` : "Your messages will be sent when the connection is back."}`;
    banner.hidden = state !== "waiting" && !(state === "connecting" && !banner.hidden);
    // Screen readers announce only what happens from now on.
    find(this.#main, "#log").ariaLive = state === "live" ? "polite" : "off";
    find(this.#main, "#older").hidden = !this.#chat.hasOlder;
    if (state === "live") this.#see();
  }

  /** @param {import("../chat/backoff.js").Reason | undefined} why */
  #showEnd(why) {
    if (!why || why.code === "closed" || why.code === "signed_out") return; // the page itself closed it, or the session shows the sign-in form
    this.leave();
    if (why.code === "not_found") this.#say("Conversation not found", "It may belong to another account. Sign out, then sign in with that account.");
    else this.#say("This conversation has ended", why.detail);
  }

  #showPeople() {
    const other = this.#other();
    if (!other) return;
    const presence = find(this.#main, "#presence");
    find(this.#main, "h1").textContent = other.name;
    document.title = `${other.name} – Housecall`;
    presence.textContent = other.online === null ? "status unknown" : other.online ? "online" : "offline";
    presence.classList.toggle("online", other.online === true);
    this.#bubbles.ticks();
  }

  #showTyping() {
    const other = this.#other();
    find(this.#main, "#typing").textContent = other?.typing ? `${other.name} is typing…` : "";
  }

  #showAppointment() {
    const { appointment, canReply, whyNot, notice } = this.#chat;
    const line = find(this.#main, ".top .appointment");
    line.textContent = statusInWords(appointment?.status ?? "");
    if (appointment?.startsAt) {
      const time = document.createElement("time");
      setTime(time, appointment.startsAt, "moment");
      line.append(" ", time);
    }
    const shown = find(this.#main, "#notice");
    shown.textContent = notice;
    shown.hidden = notice === "";
    const closed = find(this.#main, "#closed");
    closed.textContent = canReply ? "" : whyInWords(whyNot);
    closed.hidden = canReply;
    this.#composer.allow(canReply);
    this.#bubbles.menus();
  }

  /** @param {import("../housecall-chat.js").ChatEvent} event */
  #add(event) {
    const mine = event.sender === this.#me;
    this.#bubbles.add(event);
    if (mine || this.#atEnd) this.#toEnd();
    else if (event.kind === "text" || event.kind === "attachment") find(this.#main, "#newer").hidden = false;
    if (this.#chat.state === "live") this.#see();
  }

  #showPending() {
    this.#bubbles.pending();
    this.#showState();
    this.#toEnd();
  }

  async #loadOlder() {
    const older = /** @type {HTMLButtonElement} */ (find(this.#main, "#older"));
    const before = this.#scroll.scrollHeight - this.#scroll.scrollTop;
    const log = find(this.#main, "#log");
    older.disabled = true;
    try {
      const added = await this.#chat.loadOlder();
      log.ariaLive = "off";
      this.#bubbles.prepend(added);
      this.#scroll.scrollTop = this.#scroll.scrollHeight - before;
    } catch {
      this.#composer.complain("Older messages could not be loaded. Try again in a moment.");
    }
    older.disabled = false;
    if (!this.#chat.hasOlder && document.activeElement === older) this.#scroll.focus();
    this.#showState();
  }

  #toEnd() {
    this.#scroll.scrollTop = this.#scroll.scrollHeight;
    this.#atEnd = true;
    find(this.#main, "#newer").hidden = true;
  }

  #scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroll;
    this.#atEnd = scrollHeight - scrollTop - clientHeight < NEAR;
    if (!this.#atEnd) return;
    find(this.#main, "#newer").hidden = true;
    this.#see();
  }

  /** Marks everything as read while the user sees the end of the log. */
  #see() {
    if (this.#atEnd && !document.hidden && document.hasFocus() && this.#chat.unread > 0) this.#chat.markRead();
  }
}
