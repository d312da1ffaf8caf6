// @ts-check
/** @module The page of the automatic assistant, apart from the conversations with doctors. Nothing of it is kept. */

import { RefusalError, Rest } from "../housecall-chat.js";
import { find, show, template } from "./templates.js";

const NONE = { available: false, emergencyNumber: "", disclaimer: "", maxChars: 2000 };

/**
 * @typedef {object} About
 * @property {boolean} available
 * @property {string} emergencyNumber
 * @property {string} disclaimer
 * @property {number} maxChars
 */

/**
 * Shows the link to the assistant if there is one.
 * @param {HTMLElement} link
 * @param {Rest} rest
 */
export async function offerAssistant(link, rest) {
  /** @type {About} */
  const about = await rest.json("/me/assistant").catch(() => NONE);
  link.hidden = !about.available;
}

/**
 * @param {import("../chat/session.js").Session} session
 * @returns {() => void} ends it
 */
export function assistantView(session) {
  const main = show(template("assistant-view"), { title: "Automatic assistant", wide: true });
  const view = new AssistantView(main, new Rest(location.origin, session.getToken));
  view.start();
  return () => view.leave();
}

class AssistantView {
  #rest;
  #form;
  #question;
  #ask;
  #stop;
  #error;
  #state;
  #log;
  #scroll;
  #most = NONE.maxChars;
  #ended = new AbortController();
  /** @type {AbortController | undefined} of the question that is being answered */
  #asking;

  /**
   * @param {HTMLElement} main
   * @param {Rest} rest
   */
  constructor(main, rest) {
    this.#rest = rest;
    this.#form = /** @type {HTMLFormElement} */ (find(main, "#assistant-form"));
    this.#question = /** @type {HTMLTextAreaElement} */ (find(main, "#question"));
    this.#ask = /** @type {HTMLButtonElement} */ (find(main, "#ask"));
    this.#stop = /** @type {HTMLButtonElement} */ (find(main, "#stop"));
    this.#error = find(main, "#question-error");
    this.#state = find(main, "#assistant-state");
    this.#log = find(main, "#answers");
    this.#scroll = find(main, "#assistant-scroll");
    this.#form.addEventListener("submit", (e) => {
      e.preventDefault();
      this.#submit();
    });
    this.#question.addEventListener("input", () => this.#complain(""));
    this.#question.addEventListener("keydown", (e) => {
      if (e.key !== "Enter" || e.shiftKey || e.isComposing) return;
      e.preventDefault();
      this.#submit();
    });
    this.#stop.addEventListener("click", () => this.#asking?.abort());
    this.#question.focus();
  }

  /** Learns whether there is an assistant, and whom to call in an emergency. */
  async start() {
    try {
      /** @type {About} */
      const about = await this.#rest.json("/me/assistant", { signal: this.#ended.signal });
      this.#most = about.maxChars;
      find(document, "#assistant-emergency").textContent = `In an emergency call ${about.emergencyNumber}.`;
      if (!about.available) this.#state.textContent = "This clinic has no automatic assistant. Please ask your doctor.";
      this.#form.hidden = !about.available;
    } catch {
      // Asking will say what is wrong.
    }
  }

  leave() {
    this.#ended.abort();
    this.#asking?.abort();
  }

  /** @param {string} text "" for nothing */
  #complain(text) {
    this.#error.textContent = text;
    this.#error.hidden = text === "";
    if (text === "") this.#question.removeAttribute("aria-invalid");
    else this.#question.setAttribute("aria-invalid", "true");
  }

  /**
   * Says why a question was not taken. One that is too long is sent like any other, since the service recognises an
   * emergency in it.
   * @param {unknown} e
   * @param {string} question
   */
  #why(e, question) {
    if (!(e instanceof RefusalError)) return "The clinic could not be reached. Try again in a moment.";
    const length = [...question].length; // code points, as the service counts
    if (e.status !== 422 || length <= this.#most) return e.message;
    return `This question is too long: it has ${length} characters, and at most ${this.#most} are allowed.`;
  }

  async #submit() {
    const question = this.#question.value.trim();
    if (question === "" || this.#asking) return;
    this.#complain("");
    const asking = new AbortController();
    this.#asking = asking;
    this.#busy(true);
    const asked = this.#add(question, true);
    /** @type {Answer | undefined} */
    let answer;
    try {
      const stream = await this.#send(question, asking.signal);
      this.#question.value = "";
      answer = new Answer(this.#add("", false), () => this.#toEnd());
      await answer.read(stream);
    } catch (e) {
      if (asking.signal.aborted) answer?.replace("Stopped.");
      else if (answer) answer.replace("The answer broke off. Please ask again.");
      else this.#complain(this.#why(e, question));
      if (!answer) asked.remove();
    }
    this.#asking = undefined;
    this.#busy(false);
  }

  /**
   * @param {string} message
   * @param {AbortSignal} signal
   * @returns {Promise<ReadableStream<Uint8Array>>}
   */
  async #send(message, signal) {
    const headers = { Accept: "text/event-stream", "Content-Type": "application/json" };
    const answer = await this.#rest.fetch("/me/assistant", { method: "POST", headers, body: JSON.stringify({ message }), signal });
    if (!answer.body) throw new TypeError("the answer has no body");
    return answer.body;
  }

  /** @param {boolean} busy */
  #busy(busy) {
    this.#ask.disabled = busy;
    this.#stop.hidden = !busy;
    this.#state.textContent = busy ? "The assistant is answering …" : "";
    if (!busy && !this.#ended.signal.aborted) this.#question.focus();
  }

  /**
   * @param {string} text
   * @param {boolean} mine
   */
  #add(text, mine) {
    const row = /** @type {HTMLElement} */ (template("assistant-row").firstElementChild);
    row.classList.add(mine ? "mine" : "theirs");
    find(row, ".sender").textContent = mine ? "You" : "Automatic assistant";
    find(row, ".text").textContent = text;
    this.#log.append(row);
    this.#toEnd();
    return row;
  }

  #toEnd() {
    this.#scroll.scrollTop = this.#scroll.scrollHeight;
  }
}

/** An answer that grows. What is shown is only added to, so that a screen reader reads each part once. */
class Answer {
  #text;
  #grown;

  /**
   * @param {HTMLElement} row
   * @param {() => void} grown
   */
  constructor(row, grown) {
    this.#text = find(row, ".text");
    this.#grown = grown;
  }

  /**
   * Shows the parts of a stream as they come, and in the end the whole answer. It rejects if the stream breaks off.
   * @param {ReadableStream<Uint8Array>} stream
   */
  async read(stream) {
    const reader = stream.getReader();
    const decoder = new TextDecoder();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) throw new TypeError("the answer broke off");
      rest += decoder.decode(value, { stream: true });
      const events = rest.split("\n\n");
      rest = events.pop() ?? "";
      for (const e of events) if (this.#take(e)) return reader.cancel();
    }
  }

  /**
   * @param {string} event as on the wire
   * @returns {boolean} whether it is the last
   */
  #take(event) {
    const m = /^event: (part|answer)\ndata: (.*)$/.exec(event);
    if (!m) return false; // a sign of life
    const data = JSON.parse(m[2]);
    if (m[1] === "part") this.#append(data.text);
    else this.#finish(data.reply);
    return m[1] === "answer";
  }

  /** @param {string} text */
  #append(text) {
    const part = document.createElement("span");
    part.textContent = text;
    this.#text.append(part);
    this.#grown();
  }

  /** @param {string} reply */
  #finish(reply) {
    const shown = (this.#text.textContent ?? "").trimEnd();
    if (!reply.startsWith(shown)) return this.replace(reply); // the model failed in the middle
    const rest = reply.slice(shown.length).trimStart();
    this.#append(shown === "" ? rest : `\n\n${rest}`);
  }

  /** @param {string} text instead of what is shown */
  replace(text) {
    this.#text.replaceChildren();
    this.#append(text);
  }
}
