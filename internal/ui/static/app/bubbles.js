// @ts-check
/** @module The messages on the screen. What somebody wrote is text to this page, whatever it looks like. */

import { find, setTime, sizeInWords, template } from "./templates.js";

/** @typedef {import("../housecall-chat.js").ChatEvent} ChatEvent */
/** @typedef {import("../housecall-chat.js").Draft} Draft */
/** @typedef {import("../housecall-chat.js").Attachment} Attachment */

/**
 * @typedef {object} Asked what the user chose in a message's menu, and that the list has grown
 * @property {(e: ChatEvent) => void} correct
 * @property {(text: string) => void} again  the text of a refused message goes back into the text field
 * @property {() => void} grown              the list has become longer
 */

export class Bubbles {
  #chat;
  #me;
  #asked;
  #log;
  #waiting;
  /** @type {Map<number, HTMLElement>} by seq */
  #rows = new Map();
  /** @type {Map<string, HTMLElement>} what waits, or was refused, by clientId */
  #drafts = new Map();
  #ended = new AbortController();

  /**
   * @param {ParentNode} main
   * @param {import("../housecall-chat.js").Conversation} chat
   * @param {string} me
   * @param {Asked} asked
   */
  constructor(main, chat, me, asked) {
    this.#chat = chat;
    this.#me = me;
    this.#asked = asked;
    this.#log = find(main, "#log");
    this.#waiting = find(main, "#pending");
    // A menu closes when the focus leaves it.
    this.#log.addEventListener("focusout", (e) => {
      const menu = /** @type {HTMLElement} */ (e.target).closest("details");
      if (menu && !menu.contains(/** @type {Node | null} */ (e.relatedTarget))) menu.open = false;
    });
    this.#log.addEventListener("keydown", (e) => {
      const menu = /** @type {HTMLElement} */ (e.target).closest("details");
      if (e.key !== "Escape" || !menu) return;
      menu.open = false;
      find(menu, "summary").focus();
    });
  }

  end() {
    this.#ended.abort();
    this.clear();
  }

  clear() {
    for (const img of this.#log.querySelectorAll("img")) URL.revokeObjectURL(img.src);
    this.#log.replaceChildren();
    this.#rows.clear();
  }

  /** @param {ChatEvent} e the next one */
  add(e) {
    if (e.sender === this.#me && e.clientId) this.#drop(e.clientId);
    const row = this.#row(e);
    if (!row) return;
    const last = /** @type {HTMLElement | null} */ (this.#log.lastElementChild);
    if (last?.dataset.day !== dayOf(e)) this.#log.append(this.#day(e));
    this.#log.append(row);
    this.#mark(e, row);
  }

  /** @param {readonly ChatEvent[]} events older ones, oldest first */
  prepend(events) {
    const fragment = document.createDocumentFragment();
    let day = "";
    for (const e of events) {
      const row = this.#row(e);
      if (!row) continue;
      if (day !== dayOf(e)) fragment.append(this.#day(e));
      day = dayOf(e);
      fragment.append(row);
      this.#mark(e, row);
    }
    const first = /** @type {HTMLElement | null} */ (this.#log.firstElementChild);
    if (first?.dataset.day === day) first.remove(); // its heading is further up now
    this.#log.prepend(fragment);
  }

  /** @param {ChatEvent} e an event that has been retracted or corrected */
  change(e) {
    const row = this.#rows.get(e.seq);
    if (!row) return;
    this.#fill(row, e);
    this.#mark(e, row);
  }

  /** Shows what is waiting to be sent, in order, below what has been sent. */
  pending() {
    for (const draft of this.#chat.pending) {
      const { type, text } = draft.frame;
      if (type !== "send" || this.#drafts.has(draft.clientId)) continue;
      const row = this.#bubble("waiting");
      find(row, ".sender").textContent = "You (not sent yet):";
      find(row, ".text").textContent = text ?? "A file";
      find(row, ".ticks").textContent = "waiting";
      find(row, "time").remove();
      this.#drafts.set(draft.clientId, row);
      this.#waiting.append(row);
    }
  }

  /**
   * @param {Draft} draft
   * @param {import("../housecall-chat.js").Outcome} outcome
   */
  settle(draft, outcome) {
    const row = this.#drafts.get(draft.clientId);
    if (outcome.ok) return; // its event takes its place
    const shown = row ?? this.#bubble("waiting");
    if (!row) this.#waiting.append(shown);
    shown.classList.replace("waiting", "refused");
    const { type, text } = draft.frame;
    const what = type === "retract" ? "The message could not be retracted." : type === "correct" ? "The message could not be corrected." : "Not sent.";
    find(shown, ".ticks").textContent = `${what} ${outcome.detail}`;
    if (text !== undefined) find(shown, ".text").textContent = text;
    const away = () => {
      shown.remove();
      this.#drafts.delete(draft.clientId);
    };
    const foot = find(shown, ".foot");
    if (type === "send" && text !== undefined) {
      foot.append(
        button("Edit and try again", () => {
          away();
          this.#asked.again(text);
        }),
      );
    }
    foot.append(button("Remove", away));
    this.#drafts.set(draft.clientId, shown);
    this.#asked.grown();
  }

  /** Shows what the other participant has received and read. */
  ticks() {
    const other = [...this.#chat.participants.values()].find((p) => p.userId !== this.#me);
    if (!other) return;
    for (const [seq, row] of this.#rows) {
      if (!row.classList.contains("mine")) continue;
      const read = other.readSeq >= seq;
      const [sign, word] = read ? ["✓✓", "read"] : other.deliveredSeq >= seq ? ["✓✓", "delivered"] : ["✓", "sent"];
      const ticks = find(row, ".ticks");
      if (ticks.dataset.state === word) continue;
      ticks.dataset.state = word;
      ticks.classList.toggle("read", read);
      ticks.setAttribute("role", "img");
      ticks.setAttribute("aria-label", word);
      ticks.title = word;
      ticks.textContent = sign;
    }
  }

  /** Offers what can be done with each message now. */
  menus() {
    for (const [seq, row] of this.#rows) {
      const e = this.#chat.event(seq);
      if (e) this.#menu(row, e);
    }
  }

  /**
   * @param {ChatEvent} e
   * @returns {HTMLElement | undefined} nothing for an event that is not shown by itself
   */
  #row(e) {
    if (e.kind === "retraction" || e.kind === "correction") return undefined;
    if (e.kind === "system") {
      const row = /** @type {HTMLElement} */ (template("system-row").firstElementChild);
      find(row, ".text").textContent = e.text ?? "";
      setTime(find(row, "time"), e.at, "clock");
      return row;
    }
    const mine = e.sender === this.#me;
    const row = this.#bubble(mine ? "mine" : "theirs");
    const name = this.#chat.participants.get(e.sender ?? "")?.name ?? "Former participant";
    find(row, ".sender").textContent = mine ? "You:" : `${name}:`;
    setTime(find(row, "time"), e.at, "clock");
    this.#fill(row, e);
    return row;
  }

  /**
   * @param {ChatEvent} e
   * @param {HTMLElement} row
   */
  #mark(e, row) {
    row.dataset.seq = String(e.seq);
    row.dataset.day = dayOf(e);
    if (e.kind === "system") return;
    this.#rows.set(e.seq, row);
    this.#menu(row, e);
    this.ticks();
  }

  /**
   * @param {HTMLElement} row
   * @param {ChatEvent} e
   */
  #fill(row, e) {
    row.classList.toggle("retracted", e.retracted === true);
    const text = find(row, ".text");
    const file = row.querySelector(".file");
    if (file) {
      const img = file.querySelector("img");
      if (img) URL.revokeObjectURL(img.src);
      file.remove();
    }
    if (e.retracted) text.textContent = "This message was retracted.";
    else if (e.attachment) text.before(this.#file(e.attachment));
    else text.textContent = e.text ?? "";
    text.hidden = !e.retracted && e.attachment !== undefined;
    find(row, ".edited").hidden = !e.correctedBy || e.retracted === true;
  }

  /**
   * @param {HTMLElement} row
   * @param {ChatEvent} e
   */
  #menu(row, e) {
    const menu = /** @type {HTMLDetailsElement} */ (find(row, ".menu"));
    menu.hidden = e.sender !== this.#me || e.retracted === true || !this.#chat.canReply;
    if (menu.hidden || menu.querySelector("button")) return;
    const close = () => (menu.open = false);
    const actions = find(menu, "div");
    if (e.kind === "text") {
      actions.append(
        button("Correct", () => {
          close();
          this.#asked.correct(e);
        }),
      );
    }
    actions.append(
      button("Retract", () => {
        close();
        this.#chat.retract(e.seq);
      }),
    );
  }

  /** @param {Attachment} a */
  #file(a) {
    const signal = this.#ended.signal;
    const b = button("", async () => {
      b.disabled = true;
      try {
        const url = URL.createObjectURL(await this.#chat.download(a, { signal }));
        const link = document.createElement("a");
        link.href = url;
        link.download = a.name;
        link.click();
        setTimeout(() => URL.revokeObjectURL(url), 60_000); // by then the browser has read it
      } catch {
        label.textContent = `${a.name} could not be downloaded. Select it to try again.`;
      }
      b.disabled = false;
    });
    b.className = "file";
    const label = document.createElement("span");
    label.textContent = `${a.name} (${sizeInWords(a.size)})`;
    b.append(label);
    if (a.thumbnail) this.#thumbnail(a, b);
    return b;
  }

  /**
   * @param {Attachment} a
   * @param {HTMLElement} b
   */
  async #thumbnail(a, b) {
    try {
      const blob = await this.#chat.download(a, { thumbnail: true, signal: this.#ended.signal });
      if (!b.isConnected || !blob.type.startsWith("image/")) return;
      const img = document.createElement("img");
      img.alt = "";
      img.src = URL.createObjectURL(blob);
      img.addEventListener("load", () => this.#asked.grown(), { once: true });
      b.prepend(img);
    } catch {
      // The name is enough.
    }
  }

  /** @param {string} clientId */
  #drop(clientId) {
    this.#drafts.get(clientId)?.remove();
    this.#drafts.delete(clientId);
  }

  /** @param {"mine" | "theirs" | "waiting"} as */
  #bubble(as) {
    const row = /** @type {HTMLElement} */ (template("bubble-row").firstElementChild);
    row.classList.add(as);
    if (as === "waiting") row.classList.add("mine");
    return row;
  }

  /** @param {ChatEvent} e */
  #day(e) {
    const row = /** @type {HTMLElement} */ (template("day-row").firstElementChild);
    row.dataset.day = dayOf(e);
    setTime(find(row, "time"), e.at, "day");
    return row;
  }
}

/** @param {ChatEvent} e the day of an event in the reader's time zone */
const dayOf = (e) => new Date(e.at).toDateString();

/**
 * @param {string} text
 * @param {() => void} press
 */
function button(text, press) {
  const b = document.createElement("button");
  b.type = "button";
  b.className = "plain";
  b.textContent = text;
  b.addEventListener("click", press);
  return b;
}
