// @ts-check
/** @module The line about another time that was proposed for an appointment, with its answers. */

import { RefusalError, Rest } from "../housecall-chat.js";
import { setTime } from "./templates.js";

export class ProposalLine {
  #line;
  #rest;
  #path;
  #me;
  #asked = 0;

  /**
   * @param {HTMLElement} line
   * @param {import("../chat/session.js").Session} session
   * @param {string} appointmentId
   * @param {string} me
   */
  constructor(line, session, appointmentId, me) {
    this.#line = line;
    this.#rest = new Rest(location.origin, session.getToken);
    this.#path = `/appointments/${encodeURIComponent(appointmentId)}`;
    this.#me = me;
  }

  /** Shows the proposal as it stands now, or nothing. @param {string} [complaint] */
  async show(complaint = "") {
    const turn = ++this.#asked;
    const a = await this.#rest.json(this.#path).catch(() => null);
    if (turn !== this.#asked || !a) return; // a later call shows more; without a network the line stays
    this.#line.replaceChildren();
    this.#line.hidden = !a.proposal && complaint === "";
    if (complaint !== "") this.#line.append(`${complaint} `);
    if (!a.proposal) return;
    const asPatient = a.patient.userId === this.#me;
    const mine = a.proposal.by === (asPatient ? "PATIENT" : "DOCTOR");
    const time = document.createElement("time");
    setTime(time, a.proposal.startsAt, "moment");
    this.#line.append(mine ? "You proposed another time: " : "Another time was proposed: ", time, ". ");
    if (mine) this.#add("Withdraw", "withdraw", a.version);
    else {
      this.#add(asPatient ? "Accept" : "Confirm", asPatient ? "accept" : "confirm", a.version);
      this.#add("Decline", "decline", a.version, !asPatient);
    }
  }

  /**
   * @param {string} label
   * @param {string} move
   * @param {number} version the one that is shown
   * @param {boolean} [why] a reason has to be given
   */
  #add(label, move, version, why = false) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "plain";
    button.textContent = label;
    button.addEventListener("click", async () => {
      const reason = why ? prompt("Why? The patient will see it.")?.trim() : undefined;
      if (why && !reason) return;
      button.disabled = true;
      const headers = { "Content-Type": "application/json", "If-Match": `"${version}"` };
      const body = reason === undefined ? undefined : JSON.stringify({ reason });
      try {
        await this.#rest.fetch(`${this.#path}/${move}`, { method: "POST", headers, body });
        await this.show();
      } catch (e) {
        await this.show(e instanceof RefusalError ? e.message : "That did not work. Try again in a moment.");
        button.disabled = false;
      }
    });
    this.#line.append(button, " ");
  }
}
