// The Line view: reads /api/state and /api/alerts twice a second, the queue of bad parts and the last
// parts when something has changed. Texts go in as text, never as HTML.

import { read } from "./lib/api.js";
import { byId, chip, make, pause, write } from "./lib/dom.js";
import { headerLost, showHeader, updateHeader } from "./lib/nav.js";
import { age } from "./lib/times.js";
import { hasWords, oneOf, t } from "./lib/words.js";
import { offerChangeover } from "./changeover.js";
import { gapTexts, showAlerts } from "./line/alerts.js";
import { showCamera } from "./line/cameras.js";
import { countsOfFigures, readCounts } from "./line/counts.js";
import { showGolden } from "./line/golden.js";
import { offerPauses, startPauses } from "./line/pauses.js";
import { queue, readQueue, restIfMoved, settledIds, showList, startQueue } from "./line/queue.js";
import { beep, startSound } from "./line/sound.js";
import { showStage, stageOf } from "./line/stage.js";
import { known, readStrip } from "./line/strip.js";

const POLL_MS = 500;
const LOST_AFTER_MS = 3000;
const LEAST_MS = 900; // between two questions of the history
const ALSO_MS = 5000; // others settle parts too
const COUNTS_MS = 5000;
const GAP_SHOWN_S = 600;
const CONNECTING = "connecting"; // at a start, before anything has failed

let lastContactMs = performance.now();
let hadContact = false;
let state = null;
let alerts = [];
let problem = "";
let waitsOf = new Set();
let asked = { key: "", historyMs: -Infinity, countsMs: -Infinity };

const isWall = new URLSearchParams(location.search).get("wall") === "1";
document.body.classList.toggle("is-wall", isWall);

function showBundle(entries) {
  const box = byId("bundle");
  const key = JSON.stringify(entries);
  if (box.dataset.key === key) return;
  box.dataset.key = key;
  box.replaceChildren(...entries.map(({ label, text }) => make("div", {}, make("dt", {}, label), make("dd", {}, text))));
}

function noticeText({ code, values, text }) {
  if (!hasWords("note", code)) return text;
  const said = oneOf("note", code, values);
  return values.silent_s == null ? said : `${said} ${t("note.heard", { age: age(values.silent_s) })}`;
}

function notes() {
  const isBrokerGone = state.broker.is_good === false && state.broker.text !== CONNECTING;
  const broker = isBrokerGone ? [t("note.broker", { text: state.broker.text.replace(/^connecting: /, "") })] : [];
  return [...state.notices.map(noticeText), ...broker, ...gapTexts(alerts, state.now_ns, GAP_SHOWN_S)];
}

function showNotes(texts) {
  const list = byId("notes");
  list.hidden = texts.length === 0;
  const key = texts.join("\n");
  if (list.dataset.key === key) return;
  list.dataset.key = key;
  list.replaceChildren(...texts.map((text) => make("li", {}, text)));
}

const isLost = () => performance.now() - lastContactMs > LOST_AFTER_MS || (problem !== "" && !hadContact);

function showContact() {
  const lost = isLost();
  document.body.classList.toggle("is-lost", lost);
  byId("lost").hidden = !lost;
  const silent = age((performance.now() - lastContactMs) / 1000);
  if (lost) write(byId("lost"), `${t("line.lost", { age: silent })} ${problem}`);
  if (lost) headerLost();
  chip(byId("contact"), lost ? t("line.page_lost") : t("line.page_live"), lost ? "bad" : "good");
}

function show() {
  showContact();
  if (state === null && !isLost()) return;
  showStage(stageOf({ state, queue, settledIds, known, isLost: isLost() }), restIfMoved);
  restIfMoved();
  if (state) showList(state.now_ns);
}

function soundForNew() {
  const now = new Set(queue.parts.map((part) => part.id));
  if ([...now].some((id) => !waitsOf.has(id))) beep();
  waitsOf = now;
}

// The history is asked when a part has been judged, and now and then because others settle parts.
async function readHistory(now) {
  const key = JSON.stringify([state.cameras.map((c) => [c.figures.parts, c.verdict?.part_id]), alerts.map((a) => [a.alarm_id, a.kind, a.evidence])]);
  const sinceMs = now - asked.historyMs;
  if ((key === asked.key && sinceMs < ALSO_MS) || sinceMs < LEAST_MS) return;
  asked = { ...asked, key, historyMs: now };
  await readQueue();
  if (queue.hasQueue === false) {
    byId("alerts-panel").open = byId("alerts-panel").dataset.touched ? byId("alerts-panel").open : true;
    return;
  }
  soundForNew();
  await readStrip(settledIds);
}

async function readShift(now) {
  if (queue.hasQueue === false) return countsOfFigures(state.cameras);
  if (now - asked.countsMs < COUNTS_MS) return undefined;
  asked = { ...asked, countsMs: now };
  return readCounts(state.now_ns).catch(() => countsOfFigures(state.cameras));
}

async function poll() {
  try {
    const [newState, newAlerts] = await Promise.all([read("/api/state"), read("/api/alerts")]);
    [state, alerts, problem] = [newState, newAlerts.alerts, ""];
    lastContactMs = performance.now();
    hadContact = true;
    updateHeader(state);
    chip(byId("broker"), t("line.broker", { text: state.broker.text }), { true: "good", false: "bad" }[String(state.broker.is_good)] ?? "plain");
    showBundle(state.bundle);
    showNotes(notes());
    offerChangeover(state.can_change_product && !isWall);
    offerPauses(state.cameras, state.has_line !== false && !isWall);
    showGolden(state.golden ?? [], state.has_line !== false && !isWall);
    state.cameras.forEach((camera) => showCamera(camera, state.has_map));
    byId("no-camera").hidden = state.cameras.length > 0;
    showAlerts(alerts);
    show();
    await readHistory(performance.now());
    await readShift(performance.now());
  } catch (error) {
    problem = error.name === "Error" ? error.message : "";
  }
  show();
}

byId("alerts-panel").addEventListener("toggle", () => showAlerts(alerts));
byId("alerts-panel").querySelector("summary").addEventListener("click", () => { byId("alerts-panel").dataset.touched = "1"; });
// A page that comes back from the browser's memory has a state of before.
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
showHeader();
startSound();
startQueue(show);
startPauses();
for (;;) {
  await poll();
  await pause(POLL_MS);
}
