// @ts-check
/** @module The list of the user's appointments, which stays up to date. */

import { Inbox, Rest } from "../housecall-chat.js";
import { offerAssistant } from "./assistant.js";
import { find, setTime, show, statusInWords, template } from "./templates.js";

const PAGE = 50;

/**
 * @param {import("../chat/session.js").Session} session
 * @param {import("../chat/session.js").User} user
 * @returns {() => void} ends it
 */
export function inboxView(session, user) {
  const main = show(template("inbox-view"), { title: "Your appointments" });
  const rest = new Rest(location.origin, session.getToken);
  const inbox = new Inbox({ getToken: session.getToken });
  const list = find(main, ".appointments");
  const more = /** @type {HTMLButtonElement} */ (find(main, ".more"));
  const state = find(main, "#inbox-state");
  /** @type {Map<string, HTMLElement>} */
  const rows = new Map();
  /** @type {string | undefined} */
  let next;

  /** @param {any} a an appointment */
  const fill = (a) => {
    let row = rows.get(a.id);
    if (!row) {
      row = /** @type {HTMLElement} */ (template("appointment-row").firstElementChild);
      rows.set(a.id, row);
      list.append(row);
      /** @type {HTMLAnchorElement} */ (find(row, "a")).href = `/appointments/${encodeURIComponent(a.id)}`;
      row.dataset.id = a.id;
    }
    if (a.patient) find(row, ".name").textContent = user.role === "PATIENT" ? a.doctor.name : a.patient.name;
    find(row, ".status").textContent = statusInWords(a.status);
    if (a.startsAt) setTime(find(row, "time"), a.startsAt, "moment");
    else find(row, "time").textContent = "no time set";
    count(a.id);
  };

  /** @param {string} id */
  const count = (id) => {
    const row = rows.get(id);
    if (!row) return;
    const n = inbox.unread.get(id)?.unread ?? 0;
    const badge = find(row, ".badge");
    badge.hidden = n === 0;
    badge.textContent = n > 99 ? "99+" : String(n);
    badge.setAttribute("aria-label", `${n} unread`);
  };

  const load = async () => {
    more.disabled = true;
    try {
      const page = await rest.json(`/appointments?limit=${PAGE}${next ? `&cursor=${encodeURIComponent(next)}` : ""}`);
      page.items.forEach(fill);
      next = page.nextCursor || undefined;
      find(main, ".empty").hidden = rows.size > 0;
      state.textContent = "";
    } catch {
      state.textContent = "Your appointments could not be loaded. Try again in a moment.";
      next ??= "";
    }
    more.hidden = next === undefined;
    more.disabled = false;
  };

  const anew = async () => {
    rows.clear();
    list.replaceChildren();
    next = undefined;
    await load();
  };

  more.addEventListener("click", load);
  inbox.addEventListener("hello", () => {
    for (const id of rows.keys()) count(id);
  });
  inbox.addEventListener("unread", (e) => {
    const { appointmentId } = /** @type {CustomEvent} */ (e).detail.unread;
    if (rows.has(appointmentId)) count(appointmentId);
  });
  inbox.addEventListener("appointment", (e) => {
    const { appointment } = /** @type {CustomEvent} */ (e).detail;
    if (rows.has(appointment.id)) fill(appointment);
    else anew(); // a new one: load again, so that it is in its place
  });
  inbox.addEventListener("gone", (e) => {
    const { appointmentId } = /** @type {CustomEvent} */ (e).detail;
    rows.get(appointmentId)?.remove();
    rows.delete(appointmentId);
  });
  load();
  if (user.role === "PATIENT") offerAssistant(find(main, "#assistant-link"), rest);
  inbox.connect();
  return () => inbox.close();
}
