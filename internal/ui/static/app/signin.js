// @ts-check
/** @module The sign-in form. */

import { RefusalError } from "../housecall-chat.js";
import { find, show, template } from "./templates.js";

/**
 * @param {import("../chat/session.js").Session} session
 * @param {string} [said] why the user has to sign in (again)
 */
export function signInView(session, said = "") {
  const main = show(template("sign-in-view"), { title: "Sign in" });
  const form = /** @type {HTMLFormElement} */ (find(main, "form"));
  const alert = find(main, ".alert");
  const login = /** @type {HTMLInputElement} */ (find(form, "#login"));
  const password = /** @type {HTMLInputElement} */ (find(form, "#password"));
  const button = /** @type {HTMLButtonElement} */ (find(form, "button"));
  /** @param {string} text */
  const complain = (text) => {
    alert.textContent = text;
    alert.hidden = text === "";
  };
  complain(said);
  form.addEventListener("submit", async (e) => {
    e.preventDefault();
    button.disabled = true;
    complain("");
    try {
      await session.signIn(login.value, password.value);
    } catch (error) {
      button.disabled = false;
      complain(error instanceof RefusalError ? error.message : "The clinic could not be reached. Try again in a moment.");
      password.select();
    }
  });
  login.focus();
}
