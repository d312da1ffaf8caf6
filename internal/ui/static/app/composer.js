// @ts-check
/** @module The form in which messages are written. */

import { RefusalError } from "../housecall-chat.js";
import { find } from "./templates.js";

export class Composer {
  #chat;
  #form;
  #text;
  #file;
  #error;
  #editing;
  /** @type {import("../housecall-chat.js").ChatEvent | undefined} what is being corrected */
  #target;

  /**
   * @param {ParentNode} main
   * @param {import("../housecall-chat.js").Conversation} chat
   */
  constructor(main, chat) {
    this.#chat = chat;
    this.#form = find(main, "#composer");
    this.#text = /** @type {HTMLTextAreaElement} */ (find(main, "#text"));
    this.#file = /** @type {HTMLInputElement} */ (find(main, "#file"));
    this.#error = find(main, "#composer-error");
    this.#editing = find(main, "#editing");
    this.#form.addEventListener("submit", (e) => {
      e.preventDefault();
      this.#submit();
    });
    this.#text.addEventListener("input", () => {
      this.complain("");
      if (!this.#target) this.#chat.typing(this.#text.value !== "");
    });
    this.#text.addEventListener("keydown", (e) => this.#key(e));
    this.#file.addEventListener("change", () => this.#attach());
    find(this.#editing, "button").addEventListener("click", () => this.#leave());
    this.#text.focus();
  }

  /** @param {boolean} can whether the user may write now */
  allow(can) {
    this.#form.hidden = !can;
    if (!can) this.#leave();
  }

  /** @param {import("../housecall-chat.js").ChatEvent} e a message of the user's own */
  correct(e) {
    this.#target = e;
    this.#editing.hidden = false;
    this.put(e.text ?? "");
  }

  /** @param {string} text */
  put(text) {
    this.#text.value = text;
    this.#text.focus();
  }

  /** @param {string} text "" for nothing */
  complain(text) {
    this.#error.textContent = text;
    this.#error.hidden = text === "";
    if (text === "") this.#text.removeAttribute("aria-invalid");
    else this.#text.setAttribute("aria-invalid", "true");
  }

  #leave() {
    if (!this.#target) return;
    this.#target = undefined;
    this.#editing.hidden = true;
    this.put("");
  }

  /** @param {KeyboardEvent} e */
  #key(e) {
    if (e.key === "Escape") return this.#leave();
    if (e.key !== "Enter" || e.shiftKey || e.isComposing) return;
    e.preventDefault();
    this.#submit();
  }

  #submit() {
    const text = this.#text.value;
    if (text.trim() === "") return;
    const most = this.#chat.limits.messageChars;
    const length = [...text].length; // code points, as the service counts
    if (length > most) return this.complain(`This message is too long: it has ${length} characters, and at most ${most} are allowed.`);
    const target = this.#target;
    this.#leave();
    if (!target) this.#chat.send(text);
    else if (text !== target.text) this.#chat.correct(target.seq, text);
    this.put("");
    this.complain("");
  }

  async #attach() {
    const file = this.#file.files?.[0];
    if (!file) return;
    this.#file.disabled = true;
    this.complain("");
    try {
      await this.#chat.attach(file);
    } catch (e) {
      this.complain(e instanceof RefusalError ? `The file was not sent. ${e.message}` : "The file could not be sent because you are offline. Try again in a moment.");
    }
    this.#file.disabled = false;
    this.#file.value = "";
    this.#text.focus();
  }
}
