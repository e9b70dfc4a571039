// Report: a shift, a day or a week as the device writes it, on a sheet that prints.

import { BASE, read } from "./lib/api.js";
import { ask } from "./lib/ask.js";
import { byId, tell } from "./lib/dom.js";
import { keepHeader, showHeader } from "./lib/nav.js";
import { readShifts } from "./lib/shifts.js";
import { language, oneOf, t } from "./lib/words.js";

const KINDS = ["shift", "day", "week"];
const ANSWER_MS = 90000; // a week of two million parts takes seconds, and another one may be under way
const ROOM_PX = 24;

let kept = ""; // the address of the file that is offered
let turn = 0;

const two = (n) => String(n).padStart(2, "0");
const nameOf = (date) => `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;

// "2026-11-30" → "2026-W49", as ISO 8601 counts weeks
function weekOf(day) {
  const date = new Date(`${day}T00:00:00Z`);
  date.setUTCDate(date.getUTCDate() + 4 - (date.getUTCDay() || 7)); // its Thursday has the year
  const first = Date.UTC(date.getUTCFullYear(), 0, 1);
  return `${date.getUTCFullYear()}-W${two(Math.ceil(((date - first) / 86400e3 + 1) / 7))}`;
}

// What the device is asked for; null where a field is empty.
function asked() {
  const kind = byId("kind").value;
  const day = byId(kind === "week" ? "week-day" : "day").value;
  if (!day) return null;
  const query = new URLSearchParams(kind === "week" ? { week: weekOf(day) } : { day });
  if (kind === "shift") query.set("shift", byId("shift").value);
  if (byId("camera").value) query.set("camera", byId("camera").value);
  query.set("language", language);
  return query;
}

function fields() {
  const kind = byId("kind").value;
  byId("day-field").hidden = kind === "week";
  byId("shift-field").hidden = kind !== "shift";
  byId("week-field").hidden = kind !== "week";
}

async function make() {
  const query = asked();
  if (!query) return;
  turn += 1;
  const mine = turn;
  remember(query);
  tell(byId("trouble"), t("report.making"));
  byId("sheet").setAttribute("aria-busy", "true");
  byId("make").disabled = true;
  try {
    const answer = await ask(`${BASE}/report?${query}`, { signal: AbortSignal.timeout(ANSWER_MS) });
    if (!answer.ok) {
      const { detail } = await answer.json().catch(() => ({}));
      tell(byId("trouble"), detail || t("refused.status", { status: answer.status }), "bad");
    } else {
      const text = await answer.text();
      if (mine === turn) show(text, query);
    }
  } catch {
    tell(byId("trouble"), t("refused.silent"), "bad");
  }
  byId("sheet").removeAttribute("aria-busy");
  byId("make").disabled = false;
}

function show(text, query) {
  const sheet = byId("sheet");
  const day = query.get("week") ?? [query.get("day"), query.get("shift")].filter(Boolean).join("_").replaceAll(":", "");
  sheet.srcdoc = text;
  sheet.title = t("report.sheet", { time: day });
  sheet.hidden = false;
  byId("hint").hidden = true;
  byId("print").disabled = false;
  if (kept) URL.revokeObjectURL(kept);
  kept = URL.createObjectURL(new Blob([text], { type: "text/html" }));
  Object.assign(byId("save"), { href: kept, download: `report_${day}.html`, hidden: false });
  tell(byId("trouble"), "");
}

// As high as what it shows, so that the page scrolls and not a window in it.
function fit() {
  const shown = byId("sheet").contentDocument?.documentElement;
  if (shown) byId("sheet").style.height = `${shown.scrollHeight + ROOM_PX}px`;
}

function remember(query) {
  const address = new URL(location.href);
  const lang = address.searchParams.get("lang");
  address.search = query;
  address.searchParams.delete("language");
  if (lang) address.searchParams.set("lang", lang);
  history.replaceState(null, "", address);
}

// The address can be passed on: what it names is asked for at once.
function recall() {
  const query = new URLSearchParams(location.search);
  const yesterday = nameOf(new Date(Date.now() - 86400e3));
  const monday = /^(\d{4})-W(\d{1,2})$/.exec(query.get("week") ?? "");
  byId("kind").value = monday ? "week" : query.get("shift") ? "shift" : "day";
  byId("day").value = query.get("day") || yesterday;
  byId("week-day").value = monday ? dayOf(Number(monday[1]), Number(monday[2])) : nameOf(new Date(Date.now() - 7 * 86400e3));
  if (query.get("shift")) chooseShift(query.get("shift"));
  if ([...byId("camera").options].some(({ value }) => value === query.get("camera"))) byId("camera").value = query.get("camera");
  fields();
  return query.has("day") || monday;
}

const hoursOption = (hours) => new Option(hours.replace("-", " – "), hours);

// An address of before the plant's shifts were changed names hours that are none of them now.
function chooseShift(hours) {
  const isKnown = [...byId("shift").options].some(({ value }) => value === hours);
  if (!isKnown) byId("shift").append(hoursOption(hours));
  byId("shift").value = hours;
}

// The Monday of an ISO week
function dayOf(year, week) {
  const fourth = new Date(Date.UTC(year, 0, 4));
  fourth.setUTCDate(fourth.getUTCDate() - ((fourth.getUTCDay() || 7) - 1) + 7 * (week - 1));
  return fourth.toISOString().slice(0, 10);
}

byId("asked").addEventListener("submit", (event) => { event.preventDefault(); make(); });
byId("kind").addEventListener("change", fields);
byId("print").addEventListener("click", () => byId("sheet").contentWindow.print());
byId("sheet").addEventListener("load", fit);
addEventListener("resize", fit);

async function start() {
  showHeader();
  keepHeader();
  byId("kind").replaceChildren(...KINDS.map((code) => new Option(oneOf("report_kind", code), code)));
  const [{ shifts }, { cameras }] = await Promise.all([
    readShifts().catch(() => ({ shifts: [] })),
    read(`${BASE}/parts/choices`).catch(() => ({ cameras: [] })),
  ]);
  byId("shift").replaceChildren(...shifts.map(hoursOption));
  byId("camera").replaceChildren(new Option(t("report.every_camera"), ""), ...cameras.map((name) => new Option(name, name)));
  byId("camera-field").hidden = cameras.length < 2;
  if (recall()) await make();
}

start();
