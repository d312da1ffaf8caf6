// @ts-check
/** @module Entry point: who is signed in, and what this address shows. */

import { Session, forget } from "../housecall-chat.js";
import { assistantView } from "./assistant.js";
import { chatView } from "./chat.js";
import { inboxView } from "./inbox.js";
import { signInView } from "./signin.js";
import { find, show, template } from "./templates.js";

const session = new Session();
/** @type {() => void} closes what the current view keeps open */
let leave = () => {};

function route() {
  leave();
  leave = () => {};
  const user = session.user;
  find(document, "#who").textContent = user?.name ?? "";
  find(document, "#sign-out").hidden = !user;
  if (!user) return signInView(session);
  if (user.mustChangePassword) {
    return say("Choose a new password", "Your password was set by someone else. Sign out, then choose your own with “Forgot your password?”.");
  }
  const [, area, id] = location.pathname.split("/");
  if (area === "appointments" && id) leave = chatView(session, user, decodeURIComponent(id), say);
  else if (area === "assistant") {
    if (user.role !== "PATIENT") return say("Automatic assistant", "Only patients can ask the automatic assistant.");
    leave = assistantView(session);
  } else leave = inboxView(session, user);
}

/**
 * Shows only a message.
 * @param {string} title
 * @param {string} text
 */
function say(title, text) {
  const main = show(template("message-view"), { title });
  find(main, "h1").textContent = title;
  find(main, "p").textContent = text;
}

find(document, "#sign-out").addEventListener("click", async () => {
  const user = session.user;
  leave(); // first, so that the view stores nothing again
  leave = () => {};
  if (user) await forget(user.userId).catch(() => {});
  await session.signOut();
});

await session.restore();
route();
session.addEventListener("signedIn", route);
session.addEventListener("signedOut", route);
