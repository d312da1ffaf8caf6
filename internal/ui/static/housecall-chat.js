// @ts-check
/**
 * Housecall's chat in a browser: a module without dependencies, for any page. It speaks the protocol of
 * internal/chat/PROTOCOL.md, and does what a chat client must: connect, reconnect, resume without gaps or duplicates,
 * keep what was typed until the service has it (across reloads and without a network), and report receipts, typing and
 * presence.
 *
 *     import { Session, Conversation } from "/static/housecall-chat.js";
 *
 *     const session = new Session();
 *     const user = (await session.restore()) ?? (await session.signIn("patient1@demo.test", password));
 *     const chat = new Conversation({ appointmentId: "APP…", userId: user.userId, getToken: session.getToken });
 *     chat.addEventListener("event", (e) => show(e.detail.event));
 *     chat.addEventListener("changed", (e) => showAnew(e.detail.event)); // retracted, or corrected
 *     chat.addEventListener("reset", () => showNothing());               // the end of the log follows
 *     await chat.connect();
 *     const draft = chat.send("Good morning");                           // draft.settled: its outcome
 *
 * A page with a sign-in of its own passes its own getToken instead of a Session's (rest.js, GetToken): it resolves to an access
 * token, or null when nobody is signed in; asked with `force` it gets a fresh one.
 *
 * ## Conversation (conversation.js)
 *
 * connect() · close() · send(text) · attach(file) · retract(seq) · correct(seq, text) · typing() · markRead(seq?) ·
 * loadOlder() · download(attachment) · and properties: state, why, events, event(seq), pending, participants, unread,
 * appointment, canReply, whyNot, notice, limits, hasOlder, cursor.
 *
 * It is an EventTarget. Its events, with their `detail`:
 *
 * - `state` {state, why}: connecting, catchingUp, live, waiting (for the next attempt), closed (permanently: why.code says why;
 *   `signed_out` means that the user must sign in again)
 * - `hello` {}: a connection is open; participants, limits and notice are known
 * - `event` {event}: the next event of the log: each once, in order, without gaps
 * - `changed` {event}: an earlier event has been retracted or corrected
 * - `reset` {reason}: forget the events shown; the last ones follow
 * - `pending` {draft?}: something is waiting to be sent; without draft, what an earlier page left
 * - `settled` {draft, outcome}: a message has been stored, or refused permanently
 * - `receipt`, `typing`, `presence` {participant}: something about a participant has changed. `online` is null while it
 *   is unknown
 * - `appointment` {}: appointment, canReply or whyNot may have changed
 * - `complaint` {code, detail}: the service did not understand a frame
 *
 * Delivered receipts are sent automatically; markRead() is for the page, which knows what has been seen. Reconnecting
 * follows the protocol's close codes: full jitter between 0 and 1 to 60 s, at once where the protocol says so or when the
 * browser is online or visible again. A connection that shows no sign of life is dropped.
 *
 * ## Where messages wait
 *
 * What is not acknowledged is kept in IndexedDB (database "housecall-chat"), in plain text, by user and appointment, until
 * the service has accepted or refused it; only a page of the same user sends it. Each tab sends its own messages, and takes
 * over those of tabs that were closed. Each message has one clientId from the beginning, so that sending it twice stores it
 * once. On a shared computer the texts are on the disk until then: call forget() at sign-out, which removes them, unsent.
 * `keep: false` keeps nothing. Texts that were received are never stored.
 *
 * ## Inbox (inbox.js)
 *
 * new Inbox({getToken}) reports what is unread in all of the user's appointments: `unread` (a Map), `total`, `more`, and the events
 * `state`, `hello`, `unread` {unread}, `appointment` {appointment, with, canReply, whyNot}: one is new or has changed, and
 * `gone` {appointmentId}: it was handed over to another doctor. It carries no texts.
 *
 * @module
 */

export { Conversation } from "./chat/conversation.js";
export { Inbox } from "./chat/inbox.js";
export { RefusalError, Rest } from "./chat/rest.js";
export { Session } from "./chat/session.js";
export { forget } from "./chat/store.js";

/** @typedef {import("./chat/appointment.js").ConversationOptions} ConversationOptions */
/** @typedef {import("./chat/appointment.js").Cursor} Cursor */
/** @typedef {import("./chat/people.js").Participant} Participant */
/** @typedef {import("./chat/timeline.js").ChatEvent} ChatEvent */
/** @typedef {import("./chat/timeline.js").Attachment} Attachment */
/** @typedef {import("./chat/outbox.js").Draft} Draft */
/** @typedef {import("./chat/outbox.js").Outcome} Outcome */
/** @typedef {import("./chat/link.js").State} State */
/** @typedef {import("./chat/link.js").Reason} Reason */
/** @typedef {import("./chat/rest.js").GetToken} GetToken */
/** @typedef {import("./chat/session.js").User} User */
