// What the pages of the Health Management System have in common. Like them, these compare some messages letter by letter,
// show others as they are, and show nothing else.
import { base } from "./base.js"; // the test serves it: the one thing that changes when the pages move

// last is the latest refusal, for the test: the pages do not show it.
globalThis.last = null;

/** Sends JSON, with the token in its own header. Resolves to the body of a success; else rejects with { response: { data } }. */
export async function call(method, path, body) {
	const headers = { "Content-Type": "application/json" };
	const token = localStorage.getItem("token");
	if (token) headers["auth-token"] = token;
	const answer = await fetch(base + path, { method, headers, body: body && JSON.stringify(body) });
	const data = await answer.json();
	if (answer.ok) return data;
	globalThis.last = { status: answer.status, data };
	throw Object.assign(new Error("refused"), { response: { data } });
}

/** Calls act with the fields of a form when it is sent. */
export function form(id, act) {
	document.getElementById(id).addEventListener("submit", (e) => {
		e.preventDefault();
		act(Object.fromEntries(new FormData(e.target)));
	});
}

/** Shows a text in an element. */
export function show(id, text) {
	document.getElementById(id).textContent = text;
}

/** Does something and says the message of its success; a refusal is not shown. */
export async function tell(doing) {
	show("said", "");
	try {
		const data = await doing;
		show("said", data.message);
		return data;
	} catch {
		return null;
	}
}

/** Fills a list with a line for each item, and calls dress with the line's element, to add buttons and forms. */
export function list(id, items, line, dress = () => {}) {
	document.getElementById(id).replaceChildren(...items.map((item) => {
		const li = document.createElement("li");
		li.append(line(item));
		dress(li, item);
		return li;
	}));
}

/** A button that does something. */
export function button(text, act) {
	const b = document.createElement("button");
	b.textContent = text;
	b.addEventListener("click", act);
	return b;
}

/** A link to the conversation of an appointment. */
export function chatLink(appointment, receiver) {
	const a = document.createElement("a");
	a.textContent = "Chat";
	a.href = `chat.html?appointment=${appointment.appointmentId}&receiver=${receiver}`;
	return a;
}

/** The day of an appointment as the pages show it. */
export function day(date) {
	return date ? new Date(date).toLocaleDateString("en-US", { year: "numeric", month: "long", day: "numeric" }) : "-";
}

/** The line of an appointment. */
export function appointmentLine(a, other) {
	return [a.status, other, day(a.date), a.time ?? "-", a.notes ?? "-"].join(" | ");
}

/** What everybody can change about themselves. */
export function account() {
	form("password", (f) => tell(call("PUT", "/auth/updatePassword", { newPassword: f.newPassword })));
}

/** Shows nothing about a refusal, as the pages do. */
export function ignore() {}
