// Requests to the device, and who makes them. The device's own sentences are shown as they are.

import { ask } from "./ask.js";
import { t } from "./words.js";

const TIMEOUT_MS = 15000;
const POLL_TIMEOUT_MS = 3000;

export const BASE = "/api/v1";

let known = null;

// { kind: "person" | "machine" | "", name, role, csrf, has_engineer }
export async function me(isFresh = false) {
  if (known === null || isFresh) {
    const answer = await ask(`${BASE}/me`, { signal: AbortSignal.timeout(TIMEOUT_MS) });
    known = answer.ok ? await answer.json() : { kind: "", name: "", role: "", csrf: "" };
  }
  return known;
}

export function forget(next = null) {
  known = next;
}

const RANK = { viewer: 1, operator: 2, engineer: 3 };

// Whether who is logged in here may do what a role may.
export async function may(role) {
  const { kind, role: own } = await me().catch(() => ({}));
  return kind === "person" && (RANK[own] ?? 0) >= RANK[role];
}

// To the login and back to this place afterwards; `why` stands above the form.
export function toLogin(why = "") {
  const query = new URLSearchParams({ back: location.pathname + location.search + location.hash });
  if (why) query.set("why", why);
  location.assign(`/login?${query}`);
}

// What an open page asks for by itself. Throws an Error with a sentence; network errors have none.
export async function read(address, timeoutMs = POLL_TIMEOUT_MS) {
  const answer = await ask(address, { signal: AbortSignal.timeout(timeoutMs) });
  if (answer.status === 401) throw new Error(t("refused.token"));
  if (!answer.ok) {
    const error = new Error(t("refused.status", { status: answer.status }));
    error.status = answer.status;
    error.detail = (await answer.json().catch(() => ({}))).detail ?? "";
    throw error;
  }
  return answer.json();
}

export async function csrfHeaders() {
  const { csrf } = await me().catch(() => ({ csrf: "" }));
  return csrf ? { "X-CSRF-Token": csrf } : {};
}

// Returns { isOk, status, body }; the body of a refusal has the device's sentence in `detail`.
export async function send(method, address, data, timeoutMs = TIMEOUT_MS) {
  const headers = await csrfHeaders();
  const options = { method, headers, signal: AbortSignal.timeout(timeoutMs) };
  if (data !== undefined) {
    headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(data);
  }
  try {
    const answer = await ask(address, options);
    const body = answer.status === 204 ? {} : await answer.json().catch(() => ({}));
    if (!answer.ok && !body.detail) body.detail = t("refused.status", { status: answer.status });
    return { isOk: answer.ok, status: answer.status, body };
  } catch {
    return { isOk: false, status: 0, body: { detail: t("refused.silent") } };
  }
}

// An operator's order. Who is logged in is asked of the device first: who may not is led to the login,
// and null comes back. Where the device does not answer nothing is sent, and `detail` says so: a login
// would not come up either.
export async function order(why, address, data) {
  const who = await me(true).catch(() => null);
  if (!who) return { isOk: false, status: 0, body: { detail: t("refused.not_sent") } };
  if (who.kind === "person" && (RANK[who.role] ?? 0) >= RANK.operator) {
    const answer = await send("POST", address, data);
    if (answer.status !== 401) return answer;
  }
  toLogin(why);
  return null;
}
