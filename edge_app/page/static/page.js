// Reads /api/state and /api/alerts twice a second and each camera's newest picture as fast as the
// connection carries it. All texts go in as text, never as HTML.

import { offerChangeover } from "./changeover.js";
import { read } from "./lib/api.js";
import { hasWords, oneOf } from "./lib/words.js";
import { keepHeader, showHeader } from "./lib/nav.js";

const POLL_MS = 500;
const PICTURE_PAUSE_MS = 80;
const LOST_AFTER_MS = 3000;
const OLD_PICTURE_S = 5;

const startsWithMap = new URLSearchParams(location.search).get("map") === "1";

const byId = (id) => document.getElementById(id);
const cameras = new Map();
let lastContactMs = performance.now();
let hadContact = false;
const shownAlerts = new Map(); // alarm_id → { key, card }

const number = (value, digits = 0) =>
  value == null ? "–" : value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const score = (value) => (value == null ? "–" : Number(value.toPrecision(3)).toString());
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

function clockTime(ns) {
  return new Date(ns / 1e6).toLocaleTimeString("en-GB");
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function chip(element, text, isGood) {
  write(element.querySelector(".text"), text);
  element.dataset.level = isGood == null ? "plain" : isGood ? "good" : "bad";
}

function cameraCard(name) {
  if (cameras.has(name)) return cameras.get(name);
  const card = byId("camera-template").content.firstElementChild.cloneNode(true);
  const camera = { name, card, withMap: startsWithMap, sequence: 0, changed: false, find: (css) => card.querySelector(css) };
  camera.find(".camera-name").textContent = name;
  const toggle = camera.find(".map-toggle");
  toggle.setAttribute("aria-pressed", String(camera.withMap));
  toggle.addEventListener("click", () => {
    camera.withMap = !camera.withMap;
    camera.changed = true;
    toggle.setAttribute("aria-pressed", String(camera.withMap));
  });
  byId("no-camera").hidden = true;
  byId("cameras").append(card);
  cameras.set(name, camera);
  document.body.classList.toggle("has-many", cameras.size > 1);
  showPictures(camera);
  return camera;
}

function showVerdict(camera, verdict) {
  const { card, find } = camera;
  if (!verdict) return;
  card.dataset.verdict = verdict.is_suspect ? "SUSPECT" : verdict.state;
  write(find(".verdict"), verdict.words);
  const hasScore = verdict.score != null;
  const limit = `limit ${score(verdict.threshold)}`;
  write(find(".score"), hasScore ? `Score ${score(verdict.score)} – ${limit}` : verdict.reason);
  write(find(".part"), `${verdict.source_name ?? "Part " + verdict.part_id} at ${clockTime(verdict.captured_at_ns)}`);
  card.toggleAttribute("data-scored", hasScore && verdict.threshold > 0);
  if (!hasScore || verdict.threshold <= 0) return;
  const share = Math.max(0, Math.min(1, verdict.score / (1.5 * verdict.threshold)));
  find(".scale-fill").setAttribute("width", String(100 * share));
}

// Without pictures the last part's verdict says nothing of what passes now: never leave OK standing.
function showBlind(camera, data) {
  camera.card.dataset.verdict = "BLIND";
  camera.card.removeAttribute("data-scored");
  write(camera.find(".verdict"), "NOT INSPECTING");
  write(camera.find(".score"), `Camera: ${data.state_words}`); // why stands above the banner
  const last = data.verdict ? `The last part, at ${clockTime(data.verdict.captured_at_ns)}, was ${data.verdict.words}.` : "";
  write(camera.find(".part"), last);
}

function showFigures(camera, figures) {
  const put = (key, text, unit) => {
    const cell = camera.find(`[data-figure=${key}]`);
    write(cell, text);
    if (unit) cell.append(Object.assign(document.createElement("small"), { textContent: " " + unit }));
  };
  const percent = figures.ng_percent == null ? "" : number(figures.ng_percent, 1) + " %";
  put("parts", number(figures.parts));
  put("ng", number(figures.ng), percent);
  put("suspect", number(figures.suspect));
  put("not_inspected", number(figures.not_inspected));
  put("fps", number(figures.frames_per_second, 1), "a second");
  put("latency", number(figures.latency_ms), figures.latency_ms == null ? "" : "ms");
  put("skipped", number(figures.skipped), "pictures");
}

function showCamera(data, hasMap) {
  const camera = cameraCard(data.name);
  chip(camera.find(".camera-state"), `Camera: ${data.state_text}`, data.is_good);
  if (data.is_blind) showBlind(camera, data);
  else showVerdict(camera, data.verdict);
  showFigures(camera, data.figures);
  camera.find(".map-toggle").hidden = !hasMap;
  const isOld = !["waiting_for_trigger", "ended"].includes(data.state) && data.picture_age_s > OLD_PICTURE_S;
  camera.find(".picture").classList.toggle("is-old", isOld);
  const caption = camera.find("figcaption");
  caption.hidden = data.sequence > 0 && !isOld;
  if (isOld) write(caption, `This picture is ${data.picture_age_text} old`);
}

function showBundle(entries) {
  const box = byId("bundle");
  const key = JSON.stringify(entries);
  if (box.dataset.key === key) return;
  box.dataset.key = key;
  box.replaceChildren(...entries.map(({ label, text }) => {
    const pair = document.createElement("div");
    pair.append(Object.assign(document.createElement("dt"), { textContent: label }));
    pair.append(Object.assign(document.createElement("dd"), { textContent: text }));
    return pair;
  }));
}

function showNotes(notes) {
  const list = byId("notes");
  list.hidden = notes.length === 0;
  const key = notes.join("\n");
  if (list.dataset.key === key) return;
  list.dataset.key = key;
  list.replaceChildren(...notes.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
}

// An unchanged alert keeps its card, a changed one its picture: nothing flickers or loads twice.
function alertCard(alert) {
  const key = JSON.stringify(alert);
  const known = shownAlerts.get(alert.alarm_id);
  if (known?.key === key) return known.card;
  const card = newAlertCard(alert);
  const sameEvidence = known && known.card.dataset.evidence === card.dataset.evidence;
  const thumb = card.querySelector(".thumb");
  if (sameEvidence) thumb.replaceWith(known.card.querySelector(".thumb"));
  else thumbnail(thumb, alert);
  shownAlerts.set(alert.alarm_id, { key, card });
  return card;
}

function newAlertCard(alert) {
  const card = byId("alert-template").content.firstElementChild.cloneNode(true);
  card.dataset.evidence = alert.evidence ?? "";
  const put = (css, text) => (card.querySelector(css).textContent = text);
  const verdict = alert.verdict;
  card.dataset.verdict = verdict ? verdict.state : "GAP";
  put(".badge", verdict ? verdict.words : "MISSED");
  const time = card.querySelector("time");
  time.textContent = clockTime(alert.at_ns);
  time.dateTime = new Date(alert.at_ns / 1e6).toISOString();
  if (verdict?.score != null) put(".alert-score", `Score ${score(verdict.score)} – limit ${score(verdict.threshold)}`);
  put(".alert-text", alert.text);
  const part = verdict?.source_name ?? verdict?.part_id ?? "";
  const camera = part.startsWith(alert.camera) ? "" : alert.camera;
  put(".alert-part", [alert.kind_words, camera, part].filter(Boolean).join(" · "));
  return card;
}

function thumbnail(link, alert) {
  const picture = link.firstElementChild;
  const miss = () => { picture.hidden = true; link.removeAttribute("href"); link.classList.add("is-missing"); };
  if (!alert.evidence) return miss();
  picture.addEventListener("error", miss, { once: true });
  picture.addEventListener("load", () => zoom(picture, link, alert), { once: true });
  picture.alt = `Picture of part ${alert.verdict?.part_id ?? ""} with its defect marked`;
  picture.src = link.href = alert.evidence;
}

// Show the part instead of the whole frame, where the picture is the frame (same aspect).
function zoom(picture, link, alert) {
  if (!alert.part_xyxy || !alert.frame_hw) return;
  const [h, w] = alert.frame_hw;
  if (Math.abs(picture.naturalWidth * h - picture.naturalHeight * w) > 0.02 * picture.naturalWidth * h) return;
  const [x0, y0, x1, y1] = alert.part_xyxy;
  const { clientWidth, clientHeight } = link;
  const fitted = Math.min(clientWidth / (x1 - x0), clientHeight / (y1 - y0)) * 0.9;
  const scale = Math.max(fitted, clientWidth / w, clientHeight / h);
  const hold = (middle, shown, whole) => Math.min(0, Math.max(shown - whole * scale, shown / 2 - middle * scale));
  picture.classList.add("is-zoomed");
  picture.style.width = `${w * scale}px`;
  const [left, top] = [hold((x0 + x1) / 2, clientWidth, w), hold((y0 + y1) / 2, clientHeight, h)];
  Object.assign(picture.style, { left: `${left}px`, top: `${top}px` });
  alert.defects_xyxy.forEach((box) => link.append(defectBox(box, left, top, scale)));
}

function defectBox([x0, y0, x1, y1], left, top, scale) {
  const box = document.createElement("span");
  box.className = "defect";
  const px = (value) => `${value}px`;
  Object.assign(box.style, {
    left: px(left + x0 * scale - 4), top: px(top + y0 * scale - 4),
    width: px((x1 - x0) * scale + 8), height: px((y1 - y0) * scale + 8),
  });
  return box;
}

function showAlerts(alerts) {
  byId("no-alerts").hidden = alerts.length > 0;
  const list = byId("alerts");
  const cards = alerts.map(alertCard);
  const isSame = cards.length === list.children.length && cards.every((card, i) => card === list.children[i]);
  if (!isSame) list.replaceChildren(...cards);
  const current = new Set(alerts.map((alert) => alert.alarm_id));
  for (const id of shownAlerts.keys()) if (!current.has(id)) shownAlerts.delete(id);
}

function showContact(problem) {
  const silentMs = performance.now() - lastContactMs;
  const isLost = silentMs > LOST_AFTER_MS || (problem !== "" && !hadContact);
  document.body.classList.toggle("is-lost", isLost);
  byId("lost").hidden = !isLost;
  const seconds = Math.round(silentMs / 1000);
  if (isLost) write(byId("lost"), `No contact with the device for ${seconds} s. What you see below is old. ${problem}`);
  chip(byId("contact"), isLost ? "Page: no contact" : "Page: live", !isLost);
}

async function poll() {
  let problem = "";
  try {
    const [state, alerts] = await Promise.all([read("/api/state"), read("/api/alerts")]);
    lastContactMs = performance.now();
    hadContact = true;
    chip(byId("broker"), `Broker: ${state.broker.text}`, state.broker.is_good);
    showBundle(state.bundle);
    showNotes(state.notices.map(({ code, values, text }) => (hasWords("note", code) ? oneOf("note", code, values) : text)));
    offerChangeover(state.can_change_product);
    state.cameras.forEach((camera) => showCamera(camera, state.has_map));
    showAlerts(alerts.alerts);
  } catch (error) {
    problem = error.name === "Error" ? error.message : "";
  }
  showContact(problem);
}

// One loop per camera: ask for a picture newer than the one shown, show it, ask again. The next
// request leaves only when the last picture has arrived, so a slow phone gets fewer, never late, ones.
async function showPictures(camera) {
  const picture = camera.find(".picture img");
  for (;;) {
    const address = `/frame/${encodeURIComponent(camera.name)}.jpg?map=${camera.withMap ? 1 : 0}`;
    const after = camera.changed ? "" : `&after=${camera.sequence}`;
    camera.changed = false;
    try {
      const answer = await fetch(address + after, { signal: AbortSignal.timeout(10000) });
      if (answer.status === 200) await swap(picture, camera, answer);
      else if (answer.status !== 204) await pause(1000);
    } catch {
      await pause(1000);
    }
    await pause(document.hidden ? 1000 : PICTURE_PAUSE_MS);
  }
}

async function swap(picture, camera, answer) {
  const before = picture.src;
  const address = URL.createObjectURL(await answer.blob());
  await new Promise((done, failed) => Object.assign(picture, { onload: done, onerror: failed, src: address }));
  picture.hidden = false;
  picture.alt = `Live picture of ${camera.name} with the products' boxes and verdicts`;
  camera.sequence = Number(answer.headers.get("X-Frame-Sequence"));
  if (before.startsWith("blob:")) URL.revokeObjectURL(before);
}

showHeader();
keepHeader();
for (;;) {
  await poll();
  await pause(POLL_MS);
}
