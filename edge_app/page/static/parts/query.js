// Which parts: as the address of the page carries it, and as the API is asked for it.

import { readShifts } from "../lib/shifts.js";

export const TIMES = ["all", "hour", "shift", "shift_before", "today", "yesterday", "week", "own"];
export const VERDICTS = ["all", "NG", "SUSPECT", "OK", "NOT_INSPECTED"];
export const REVIEWS = ["all", "none", "any", "right", "false_alarm", "missed", "unsure", "disputed"];
export const MARKS = ["right", "false_alarm", "missed", "unsure"];
export const KEPT_FOR = ["all", "any", "ng", "suspect", "near_miss", "not_inspected", "random"];
export const NAMES = ["time", "from", "to", "verdict", "class", "camera", "review", "kept", "serial"];

const HOUR_MS = 3600e3;

// { time, from, to, verdict, class, camera, review, kept, serial }; "" and "all" ask for nothing.
export function wantedOf(search) {
  const query = new URLSearchParams(search);
  const known = { time: TIMES, verdict: VERDICTS, review: REVIEWS, kept: KEPT_FOR };
  return Object.fromEntries(NAMES.map((name) => {
    const value = query.get(name) ?? "";
    return [name, known[name] && !known[name].includes(value) ? "" : value];
  }));
}

export function addressOf(wanted) {
  const asked = NAMES.filter((name) => wanted[name] && wanted[name] !== "all");
  return new URLSearchParams(asked.map((name) => [name, wanted[name]])).toString();
}

export const countOf = (wanted) => NAMES.filter((name) => !["from", "to"].includes(name) && wanted[name] && wanted[name] !== "all").length;

async function shiftSpan(name) {
  const { from, to } = (await readShifts())[name];
  return [new Date(from), new Date(to)];
}

function dayStart(now, back) {
  return new Date(now.getFullYear(), now.getMonth(), now.getDate() - back);
}

const own = (text) => (Number.isNaN(Date.parse(text)) ? null : new Date(text));

// [from, to] as Dates, each of them null where it is open. Shifts are the device's, other times the browser's.
export async function spanOf(wanted, now = new Date()) {
  switch (wanted.time) {
    case "hour": return [new Date(now - HOUR_MS), null];
    case "shift": return shiftSpan("current");
    case "shift_before": return shiftSpan("before");
    case "today": return [dayStart(now, 0), null];
    case "yesterday": return [dayStart(now, 1), dayStart(now, 0)];
    case "week": return [dayStart(now, 6), null];
    case "own": return [own(wanted.from), own(wanted.to)];
    default: return [null, null];
  }
}

// What /api/v1/parts is asked for.
export async function apiQuery(wanted, limit, cursor = null) {
  const query = new URLSearchParams({ limit });
  const [from, to] = await spanOf(wanted);
  if (from) query.set("from", from.toISOString());
  if (to) query.set("to", to.toISOString());
  if (wanted.verdict === "SUSPECT") query.set("suspects", "true");
  else if (wanted.verdict && wanted.verdict !== "all") query.set("state", wanted.verdict);
  if (wanted.class) query.set("class", wanted.class);
  if (wanted.camera) query.set("camera", wanted.camera);
  const serial = wanted.serial.trim().replace(/^#/, "");
  if (serial) query.set(/^\d+$/.test(serial) ? "serial" : "part", serial);
  if (wanted.review === "none") query.set("reviewed", "false");
  else if (wanted.review === "any") query.set("reviewed", "true");
  else if (wanted.review === "disputed") query.set("disputed", "true");
  else if (wanted.review && wanted.review !== "all") query.set("mark", wanted.review);
  if (wanted.kept && wanted.kept !== "all") query.set("kept_for", wanted.kept);
  if (cursor) query.set("cursor", cursor);
  return query.toString();
}

export const verdictOf = (part) => (part.state === "OK" && part.is_suspect ? "SUSPECT" : part.state);

export const currentOf = (part) => (part.decisions ?? []).filter((decision) => decision.is_current);

export const isDisputed = (part) => new Set(currentOf(part).map(({ mark }) => mark).filter((mark) => mark !== "unsure")).size > 1;

// The list that a part was opened from, so that the next and the one before are known.
const LIST = "cropliq_parts";
const MOST_KEPT = 3000;

export function keepList(query, ids, next) {
  try {
    sessionStorage.setItem(LIST, JSON.stringify({ query, ids: ids.slice(0, MOST_KEPT), next: ids.length > MOST_KEPT ? String(ids[MOST_KEPT - 1]) : next }));
  } catch {
    // a browser that keeps nothing: the list begins at the part that is opened
  }
}

export function keptList(query) {
  try {
    const kept = JSON.parse(sessionStorage.getItem(LIST));
    return kept?.query === query ? kept : null;
  } catch {
    return null;
  }
}
