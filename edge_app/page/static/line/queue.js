// Bad parts that wait to be taken out: the device keeps the queue, this shows it and settles parts of
// it. Settling never changes lamp, alert or verdict.

import { BASE, order, read } from "../lib/api.js";
import { faultText, nameOf } from "../lib/describe.js";
import { byId, make, pause, tell, write } from "../lib/dom.js";
import { age, clockTime, moment } from "../lib/times.js";
import { t } from "../lib/words.js";

const MOST = 20;
const REST_MS = 700; // a touch that was meant for what stood here before settles nothing
const SAID_MS = 10000; // what became of a part stands so long

// hasQueue is null until the device has answered, false where it keeps no history.
export const queue = { mode: "latch", waiting: 0, parts: [], shown: null, hasQueue: null };
export const settledIds = new Set();

const settledHere = new Set();

let isBusy = false;
let place = "";
let restingTo = 0;
let resting = 0;
let forgetting = 0;
let onChange = () => {};

export async function readQueue() {
  try {
    const found = await read(`${BASE}/take-out?limit=${MOST}`);
    take(found);
    queue.hasQueue = true;
  } catch (error) {
    if (error.status === 404 || error.status === 503) {
      queue.hasQueue = false;
      take({ mode: "latch", waiting: 0, parts: [] });
    } else if (error.status) throw error;
  }
}

// What was settled here is not shown again, though the device may still be writing it down.
function take({ mode, waiting: all, parts: found }) {
  const shownId = queue.shown?.id;
  const parts = found.filter((part) => !settledHere.has(part.id));
  const waiting = all - (found.length - parts.length);
  Object.assign(queue, { mode, waiting, parts, shown: parts.find((p) => p.id === shownId) ?? parts[0] ?? null });
  if (queue.shown?.id !== shownId) rest(); // somebody else settled the one that stood here
  // never taken out of the layout: the buttons beside them stay where a finger is about to be
  byId("others").dataset.idle = String(parts.length < 2);
}

// What stands above the buttons has another height: they are not where a finger is about to be.
export function restIfMoved() {
  const [evidence, sentence] = [byId("evidence"), byId("sentence")].map((e) => e.getBoundingClientRect());
  const now = `${byId("evidence").offsetTop} ${evidence.height} ${evidence.width} ${sentence.height}`;
  if (now !== place) rest();
  place = now;
}

// The buttons do nothing for a moment: what they act on, or where they are, has just changed.
function rest() {
  restingTo = performance.now() + REST_MS;
  showBusy();
  clearTimeout(resting);
  resting = setTimeout(showBusy, REST_MS + 1);
}

// The list of a line whose parts are gone by the time: with ages, the newest first.
export function showList(nowNs) {
  const box = byId("queue");
  box.hidden = queue.mode !== "list" || queue.parts.length === 0;
  if (box.hidden) return;
  write(byId("queue-title"), t("queue.title", { count: queue.waiting }));
  const rows = [...queue.parts].reverse().map((part) => {
    const since = age((nowNs / 1e6 - moment(part.captured_at)) / 1000);
    return make("li", { dataset: { verdict: "NG", name: part.id } },
      make("span", { className: "verdict-sign", dataset: { verdict: "NG" }, "aria-hidden": "true" }),
      make("strong", {}, nameOf(part)), " ",
      make("span", {}, faultText(part, null)), " ",
      make("time", { dateTime: part.captured_at, title: clockTime(part.captured_at) }, t("stage.ago", { age: since })),
      make("button", { type: "button", className: "button", onclick: () => settle(part, "taken_out") }, t("line.taken_out")));
  });
  const key = rows.map((row) => row.textContent).join("\n");
  const list = byId("queue-list");
  if (list.dataset.key === key || list.contains(document.activeElement)) return;
  list.dataset.key = key;
  list.replaceChildren(...rows);
}

async function settle(part, outcome) {
  if (isBusy || !part) return;
  setBusy(true);
  const answer = await order("settle", `${BASE}/take-out/${part.id}`, { part_id: part.part_id, outcome });
  if (!answer) return;
  const { isOk, body } = answer;
  if (isOk) {
    settledIds.add(part.part_id);
    settledHere.add(part.id);
  }
  const done = outcome === "good" ? t("queue.was_good", { part: nameOf(part) }) : t("queue.was_taken_out", { part: nameOf(part) });
  // "was taken out by X" is the device's own sentence: somebody else was faster
  say(isOk ? done : (body.detail ?? body.text), isOk ? "good" : "bad");
  await Promise.all([readQueue().catch(() => {}), pause(REST_MS)]);
  setBusy(false);
  onChange();
}

function say(text, level) {
  tell(byId("settled"), text, level);
  clearTimeout(forgetting);
  forgetting = setTimeout(() => tell(byId("settled"), ""), SAID_MS);
}

function setBusy(busy) {
  isBusy = busy;
  showBusy();
}

function showBusy() {
  const isOff = isBusy || performance.now() < restingTo;
  for (const id of ["taken-out", "is-good"]) byId(id).disabled = isOff;
}

function step(by) {
  const at = queue.parts.indexOf(queue.shown);
  queue.shown = queue.parts[(at + by + queue.parts.length) % queue.parts.length] ?? null;
  onChange();
}

export function startQueue(changed) {
  onChange = changed;
  byId("taken-out").addEventListener("click", () => settle(queue.shown, "taken_out"));
  byId("is-good").addEventListener("click", () => settle(queue.shown, "good"));
  byId("before").addEventListener("click", () => step(-1));
  byId("after").addEventListener("click", () => step(1));
}
