// @ts-check
/** @module The page's templates, and how dates, statuses and sizes are worded. */

/**
 * @param {string} id of a template element
 * @returns {DocumentFragment}
 */
export function template(id) {
  const t = /** @type {HTMLTemplateElement} */ (document.getElementById(id));
  return /** @type {DocumentFragment} */ (t.content.cloneNode(true));
}

/**
 * Returns the one element that must exist.
 * @template {HTMLElement} [T=HTMLElement]
 * @param {ParentNode} root
 * @param {string} selector
 * @returns {T}
 */
export function find(root, selector) {
  return /** @type {T} */ (root.querySelector(selector));
}

/**
 * Shows a view instead of the present one.
 * @param {Node} view
 * @param {{title: string, wide?: boolean}} how
 * @returns {HTMLElement} where it is now
 */
export function show(view, { title, wide = false }) {
  const main = find(document, "#main");
  main.replaceChildren(view);
  main.classList.toggle("wide", wide);
  document.title = `${title} – Housecall`;
  return main;
}

const day = new Intl.DateTimeFormat(undefined, { dateStyle: "full" });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

/**
 * @param {HTMLElement} element a time element
 * @param {string} at RFC 3339
 * @param {"day" | "clock" | "moment"} as
 */
export function setTime(element, at, as) {
  const date = new Date(at);
  element.textContent = { day, clock, moment }[as].format(date);
  /** @type {HTMLTimeElement} */ (element).dateTime = at;
}

/** @type {Record<string, string>} */
const statuses = {
  PENDING: "requested",
  BOOKED: "booked",
  REJECTED: "declined",
  CANCELLED: "cancelled",
  EXPIRED: "expired",
  COMPLETED: "completed",
  NO_SHOW: "missed",
};

/** @param {string} status */
export const statusInWords = (status) => statuses[status] ?? status.toLowerCase();

/** @type {Record<string, string>} */
const whys = {
  pending: "You can send messages once the doctor has confirmed the appointment.",
  rejected: "The appointment was declined.",
  cancelled: "The appointment was cancelled.",
  expired: "The request expired before it was answered.",
  no_show: "The appointment was missed.",
  closed_by_doctor: "The doctor has closed this conversation.",
  follow_up_over: "The follow-up period for this appointment has ended.",
};

/** @param {string | undefined} whyNot */
export const whyInWords = (whyNot) => whys[whyNot ?? ""] ?? "This conversation is closed to new messages.";

/** @param {number} bytes */
export function sizeInWords(bytes) {
  if (bytes < 1024) return `${bytes} bytes`;
  if (bytes < 1024 * 1024) return `${Math.round(bytes / 1024)} KB`;
  return `${(bytes / 1024 / 1024).toFixed(1)} MB`;
}
