// @ts-check
/**
 * @module What a browser keeps of waiting messages: one row in IndexedDB for each, until the service has accepted or
 * refused it. Rows hold what was typed, in plain text, so they are removed with the answer, and forget() removes all at
 * sign-out.
 */

const DATABASE = "housecall-chat";
const DRAFTS = "drafts";
const CURSORS = "cursors";

/**
 * A message that is waiting.
 * @typedef {object} Row
 * @property {string} clientId
 * @property {string} room   user id, "/" and appointment id; stored drafts have it under this name
 * @property {string} owner  the conversation object that sends it, in whichever tab
 * @property {number} order  later ones have greater numbers
 * @property {any} frame     as it goes over the wire
 */

/** @type {Promise<IDBDatabase> | null} */
let opening = null;

/** @returns {Promise<IDBDatabase>} */
function database() {
  opening ??= new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore(DRAFTS, { keyPath: "clientId" }).createIndex("room", "room");
      request.result.createObjectStore(CURSORS);
    };
    request.onsuccess = () => {
      // So that a later version of this module, in another tab, does not wait for us.
      request.result.onversionchange = () => {
        request.result.close();
        opening = null;
      };
      resolve(request.result);
    };
    request.onerror = () => reject(request.error);
  });
  opening.catch(() => (opening = null));
  return opening;
}

/**
 * Runs one transaction and resolves once it is complete.
 * @template T
 * @param {string} name of the object store
 * @param {IDBTransactionMode} mode
 * @param {(store: IDBObjectStore, result: (value: T) => void) => void} work
 * @returns {Promise<T>}
 */
async function transact(name, mode, work) {
  const db = await database();
  return new Promise((resolve, reject) => {
    const tx = db.transaction(name, mode);
    /** @type {any} */
    let value;
    tx.oncomplete = () => resolve(value);
    tx.onabort = () => reject(tx.error);
    work(tx.objectStore(name), (v) => (value = v));
  });
}

/** The rows of one user in one conversation. */
export class Store {
  room;

  /** @param {string} room */
  constructor(room) {
    this.room = room;
  }

  /** @param {Row} row */
  put(row) {
    return transact(DRAFTS, "readwrite", (s) => void s.put(row));
  }

  /** @param {string} clientId */
  remove(clientId) {
    return transact(DRAFTS, "readwrite", (s) => void s.delete(clientId));
  }

  /**
   * Takes over the rows whose owners are gone, in one transaction, so that each row goes to only one of several that try.
   * @param {string} owner          who takes over
   * @param {Set<string> | null} living the owners that are alive; null if that is unknown: then all rows are
   *   taken, and perhaps sent twice, which their clientIds make harmless
   * @returns {Promise<{rows: Row[], owners: string[]}>} what was taken, oldest first, and the living owners of the rest
   */
  claim(owner, living) {
    return transact(DRAFTS, "readwrite", (s, result) => {
      const request = s.index("room").getAll(this.room);
      request.onsuccess = () => {
        /** @type {Row[]} */
        const rows = request.result;
        const others = rows.filter((r) => r.owner !== owner);
        const left = others.filter((r) => !living?.has(r.owner)).sort((a, b) => a.order - b.order);
        for (const r of left) s.put({ ...r, owner });
        result({ rows: left, owners: [...new Set(others.filter((r) => living?.has(r.owner)).map((r) => r.owner))] });
      };
    });
  }

  /** @returns {Promise<import("./appointment.js").Cursor | undefined>} where the conversation stopped the last time */
  cursor() {
    return transact(CURSORS, "readonly", (s, result) => {
      const request = s.get(this.room);
      request.onsuccess = () => result(request.result);
    });
  }

  /** @param {import("./appointment.js").Cursor} cursor */
  keepCursor(cursor) {
    return transact(CURSORS, "readwrite", (s) => void s.put(cursor, this.room));
  }
}

/**
 * Removes what this browser keeps of a user, or of all: messages that were not sent are lost. Call it at sign-out.
 * @param {string} [userId]
 * @returns {Promise<void>}
 */
export async function forget(userId) {
  if (!globalThis.indexedDB) return;
  const mine = userId === undefined ? undefined : IDBKeyRange.bound(`${userId}/`, `${userId}0`, false, true); // "0" follows "/"
  await transact(CURSORS, "readwrite", (s) => void (mine ? s.delete(mine) : s.clear()));
  await transact(DRAFTS, "readwrite", (s) => {
    if (!mine) return void s.clear();
    const request = s.index("room").getAllKeys(mine);
    request.onsuccess = () => request.result.forEach((key) => s.delete(key));
  });
}

/**
 * A name that lives as long as its tab: a lock that is never released. Without locks (outside secure contexts) nobody
 * knows which owners are alive.
 */
export class Owner {
  /** @type {string} */
  name = `housecall-chat:${randomId()}`;
  /** @type {() => void} */
  #release = () => {};
  #ended = new AbortController();

  /** Resolves once others can see that the name is alive. */
  live() {
    return new Promise((/** @type {(v?: unknown) => void} */ held) => {
      if (!globalThis.navigator?.locks) return held();
      navigator.locks
        .request(this.name, () => {
          held();
          return new Promise((/** @type {(v?: unknown) => void} */ done) => (this.#release = done));
        })
        .catch(() => held());
    });
  }

  /** @returns {Promise<Set<string> | null>} the owners that are alive; null if that is unknown */
  async living() {
    if (!globalThis.navigator?.locks) return null;
    const { held = [] } = await navigator.locks.query();
    return new Set(held.filter((l) => l.mode === "exclusive").map((l) => l.name ?? ""));
  }

  /**
   * Resolves when another owner has ended; rejects if this one ends first.
   * @param {string} other
   */
  outlive(other) {
    return navigator.locks.request(other, { mode: "shared", signal: this.#ended.signal }, () => {});
  }

  end() {
    this.#ended.abort();
    this.#release();
  }
}

/** A random UUID (RFC 9562, version 4); crypto.randomUUID is for secure contexts only. */
export function randomId() {
  const b = crypto.getRandomValues(new Uint8Array(16));
  b[6] = (b[6] & 0x0f) | 0x40;
  b[8] = (b[8] & 0x3f) | 0x80;
  const hex = Array.from(b, (x) => x.toString(16).padStart(2, "0")).join("");
  return hex.replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, "$1-$2-$3-$4-$5");
}
