// One part on one screen: its picture in layers, its figures, what people said of it, and marking it.

import { BASE, may, me, read, send } from "./lib/api.js";
import { className, faultText, nameOf } from "./lib/describe.js";
import { byId, make, tell, write } from "./lib/dom.js";
import { keepHeader, showHeader } from "./lib/nav.js";
import { figure, number, rawText, shareText } from "./lib/share.js";
import { dayTime } from "./lib/times.js";
import { oneOf, t } from "./lib/words.js";
import { MarkQueue } from "./parts/mark_queue.js";
import { decisionItem } from "./parts/decisions.js";
import { followFinger } from "./parts/draw.js";
import { PartPicture, picturesOf } from "./parts/picture.js";
import { MARKS, addressOf, apiQuery, currentOf, isDisputed, keepList, keptList, verdictOf, wantedOf } from "./parts/query.js";

const PAGE = 60;
const TIMEOUT_MS = 15000;
const AHEAD = 2; // parts whose pictures are fetched before they are asked for
const KEPT_PARTS = 40;
const SWIPE_PX = 60;

const wanted = wantedOf(location.search);
const list = keptList(addressOf(wanted)) ?? { query: addressOf(wanted), ids: [], next: null };
const known = new Map(); // id → { part, pictures: Promise }
const picture = new PartPicture(byId("picture"));
let here = Number(new URLSearchParams(location.search).get("id"));
let isDrawing = false;
let mayMark = false;
let mayAccept = false;
let isWalking = false;
let lastMark = null; // { id, before: the person's own mark before it, or null }
let own = "";

const queue = new MarkQueue({
  changed: showQueue,
  recorded: (mark) => refresh(mark.id),
  refused: (mark, sentence) => {
    tell(byId("outcome"), t("part.refused", { part: mark.name, why: sentence }), "bad");
    refresh(mark.id);
  },
});

// Parts and their neighbours

async function partOf(id) {
  if (!known.has(id)) {
    const part = await read(`${BASE}/parts/${id}`, TIMEOUT_MS);
    remember(part);
  }
  return known.get(id).part;
}

function remember(part) {
  const before = known.get(part.id);
  known.delete(part.id);
  known.set(part.id, { part, pictures: before?.pictures ?? null });
  for (const id of known.keys()) {
    if (known.size <= KEPT_PARTS) break;
    if (id !== here) known.delete(id);
  }
}

function picturesFor(id) {
  const entry = known.get(id);
  entry.pictures ??= picturesOf(entry.part);
  return entry.pictures;
}

// Asks the device for parts that are older than the last one known.
async function lengthen() {
  if (!list.ids.includes(here)) Object.assign(list, { ids: [here], next: String(here) });
  if (list.next === null) return;
  const page = await read(`${BASE}/parts?${await apiQuery(wanted, PAGE, list.next)}`, TIMEOUT_MS);
  page.parts.forEach(remember);
  list.ids.push(...page.parts.map((part) => part.id).filter((id) => !list.ids.includes(id)));
  list.next = page.next;
  keepList(list.query, list.ids, list.next);
}

async function neighbour(step) {
  let at = list.ids.indexOf(here);
  if (at < 0 || (step > 0 && at + step >= list.ids.length)) await lengthen();
  at = list.ids.indexOf(here);
  return list.ids[at + step] ?? null;
}

async function walk(step) {
  if (isWalking) return;
  isWalking = true;
  try {
    const id = await neighbour(step);
    const isOlder = step > 0;
    if (id === null) return tell(byId("outcome"), t(isOlder ? "part.last" : "part.first"));
    isWalking = false;
    await show(id);
  } catch (error) {
    tell(byId("outcome"), error.detail || t("parts.silent"), "bad");
  } finally {
    isWalking = false;
  }
}

async function prefetch(from) {
  for (let step = 1; step <= AHEAD && from === here; step += 1) {
    try {
      const id = await neighbour(step);
      if (id === null) break;
      await partOf(id);
      await picturesFor(id);
    } catch {
      break; // asked for again when it is wanted
    }
  }
  showPosition();
}

// Showing

async function show(id) {
  here = id;
  draw(false);
  picture.region = null;
  byId("note").value = "";
  byId("mark-class").value = "";
  const address = new URLSearchParams([["id", id], ...new URLSearchParams(list.query)]);
  history.replaceState(null, "", `?${address}`);
  showPosition();
  const wasKnown = known.has(id);
  const part = await partOf(id);
  if (here !== id) return;
  showPart(part);
  const pictures = await picturesFor(id);
  if (here !== id) return;
  const latest = known.get(id).part;
  showDefects(latest, pictures.sidecar);
  await picture.show(latest, pictures);
  showPicture();
  prefetch(id);
  if (wasKnown) refresh(id);
}

// What others have said meanwhile, and what the device made of our mark.
async function refresh(id) {
  const part = await read(`${BASE}/parts/${id}`, TIMEOUT_MS).catch(() => null);
  if (!part) return;
  remember(part);
  if (here !== id) return;
  showPart(part);
  if (picture.part) {
    showDefects(part, picture.pictures.sidecar);
    picture.part = part;
    picture.draw();
  }
}

function showPart(part) {
  const verdict = verdictOf(part);
  byId("part").dataset.verdict = verdict;
  byId("sign").dataset.verdict = verdict;
  write(byId("verdict-word"), oneOf("verdict", verdict));
  const raw = part.score == null ? "" : ` (${rawText(part.score, part.threshold)})`;
  write(byId("share"), part.score == null ? reason(part) : shareText(part.score, part.threshold) + raw);
  write(byId("which"), `${nameOf(part)} · ${part.camera} · ${dayTime(part.captured_at)}`);
  document.title = `${nameOf(part)} – CropLiq Edge`;
  showDecisions(part);
  showDefects(part, null);
  showFacts(part);
  for (const button of byId("marks").children) button.disabled = !allowed(part, button.dataset.mark);
}

function showDecisions(part) {
  const waiting = queue.of(part.id).map(({ body }) => ({ ...body, author: own, at: null, is_current: true, isWaiting: true }));
  const said = [...waiting, ...(part.decisions ?? []).filter((one) => !(waiting.length && one.author === own)).reverse()];
  byId("decisions").replaceChildren(...said.map((one) => decisionItem(one, mayAccept ? accept : null)));
  byId("no-decisions").hidden = said.length > 0;
  byId("disputed").hidden = !isDisputed({ decisions: said });
  const mine = said.find((one) => one.is_current && one.author === own);
  for (const button of byId("marks").children) button.setAttribute("aria-pressed", String(mine?.mark === button.dataset.mark));
}

async function accept(id, isAccepted) {
  const part = known.get(here)?.part;
  if (!part) return;
  const { isOk, body } = await send("POST", `${BASE}/decisions/${id}/acceptance`, { part: part.id, part_id: part.part_id, accepted: isAccepted });
  tell(byId("outcome"), isOk ? body.text : body.detail, isOk ? "good" : "bad");
  await refresh(part.id);
}

// The sidecar knows outlines, and millimetres where the camera is calibrated.
function showDefects(part, sidecar) {
  const defects = sidecar?.defects ?? part.defects;
  write(byId("fault"), part.state === "NG" && part.score != null ? faultText(part, sidecar) : "");
  byId("defects-section").hidden = defects.length === 0;
  byId("defects").replaceChildren(...defects.map(({ class: name, box, peak, weak, size_mm: mm }) => {
    const [w, h] = box ? [box[2] - box[0], box[3] - box[1]] : [null, null];
    const parts = [mm?.[0] == null ? "" : t("defect.mm", { length: number(mm[0], 1), width: number(mm[1], 1) }), w == null ? "" : t("part.size", { w: Math.round(w), h: Math.round(h) }), peak == null ? "" : t("part.peak", { peak: figure(peak) }), weak ? t("part.weak") : ""];
    return make("li", {}, make("strong", {}, className(name)), ` ${parts.filter(Boolean).join(" · ")}`);
  }));
}

function showFacts(part) {
  const facts = [
    ["golden", part.golden],
    ["captured", dayTime(part.captured_at)], ["camera", part.camera], ["number", part.number], ["trigger", part.trigger_id],
    ["file", part.source_name], ["part_id", part.part_id], ["score", part.score == null ? null : figure(part.score)],
    ["limit", figure(part.threshold)], ["limit_id", part.threshold_id],
    ["model", part.product == null ? null : `${part.product} ${part.serial} · ${part.precision}`], ["bundle", part.bundle_sha256?.slice(0, 16)],
    ["slot", part.slot], ["views", part.views], ["latency", `${figure(part.latency_ms)} ms`], ["reason", reason(part)],
    ["kept_for", (part.kept_for ?? []).map((code) => oneOf("part_kept", code)).join(", ")], ["alarm", part.alarm_id],
    ["take_out", takeOut(part.take_out)],
  ];
  const shown = facts.filter(([, value]) => value != null && value !== "");
  byId("facts").replaceChildren(...shown.map(([name, value]) => make("div", {}, make("dt", {}, oneOf("part_fact", name)), make("dd", {}, String(value)))));
}

const reason = (part) => (part.reason ? oneOf("reason", part.reason) : "");

function takeOut(place) {
  if (!place) return null;
  if (!place.outcome) return t("part.is_waiting");
  return `${oneOf("part_outcome", place.outcome)} · ${[place.settled_by, dayTime(place.settled_at)].filter(Boolean).join(" · ")}`;
}

function showPicture() {
  const { crop, frame, map } = picture.pictures;
  const hasAny = Boolean(crop || frame);
  byId("no-picture").hidden = hasAny;
  write(byId("no-picture"), hasAny ? "" : t("parts.no_picture"));
  byId("picture").setAttribute("aria-label", hasAny ? t("part.picture") : t("parts.no_picture"));
  byId("layer-frame").hidden = !crop || !picture.part.evidence_url;
  byId("layer-outline").hidden = !hasAny;
  byId("layer-map").hidden = !map;
  byId("draw").hidden = !mayMark || !picture.isMapped;
  byId("erase").hidden = !picture.region;
  for (const name of ["frame", "outline", "map"]) byId(`layer-${name}`).setAttribute("aria-pressed", String(picture.layers[name]));
}

function showPosition() {
  const at = list.ids.indexOf(here);
  const isWhole = list.next === null;
  write(byId("position"), at < 0 ? "" : t(isWhole ? "part.position" : "part.position_of_more", { n: at + 1, count: list.ids.length }));
  byId("before").disabled = at <= 0;
  byId("after").disabled = at >= 0 && at === list.ids.length - 1 && list.next === null;
}

function showQueue() {
  const { count, trouble } = queue;
  const text = !trouble ? "" : trouble === "silent" ? t("part.queue_silent", { count }) : t("part.queue_waits", { count, why: trouble });
  byId("queue").hidden = !text;
  write(byId("queue"), text);
  if (known.has(here)) showDecisions(known.get(here).part);
}

// Marking

function allowed({ state, is_suspect: isSuspect, golden }, mark) {
  if (golden) return false; // a test of the line: nothing is learnt from it
  if (mark === "missed") return state !== "NG";
  if (mark === "false_alarm") return state === "NG" || isSuspect;
  return true;
}

async function mark(name, note = byId("note").value.trim()) {
  const part = known.get(here)?.part;
  if (isWalking || !mayMark || !part || !allowed(part, name)) return;
  const mine = currentOf(part).find((one) => one.author === own) ?? null;
  lastMark = { id: part.id, before: mine };
  byId("undo").disabled = false;
  give(part, { mark: name, class: byId("mark-class").value.trim(), region: picture.region, note });
  tell(byId("outcome"), t("part.marked", { part: nameOf(part), mark: oneOf("part_mark", name) }), "good");
  await walk(1);
}

function give(part, said) {
  queue.add({ id: part.id, name: nameOf(part), author: own, body: { part_id: part.part_id, ...said } });
  if (here === part.id) showDecisions(part);
}

// A mark is never deleted: taking it back is another one, the person's own before it or "unsure".
async function undo() {
  if (!lastMark) return;
  const { id, before } = lastMark;
  lastMark = null;
  byId("undo").disabled = true;
  try {
    if (here !== id) await show(id);
    const part = await partOf(id);
    const said = before ? { mark: before.mark, class: before.class, region: before.region, note: before.note } : { mark: "unsure", class: "", region: null, note: t("part.taken_back_note") };
    give(part, said);
    tell(byId("outcome"), t("part.taken_back", { part: nameOf(part), mark: oneOf("part_mark", said.mark) }));
  } catch (error) {
    tell(byId("outcome"), error.detail || t("parts.silent"), "bad");
  }
}

function draw(isOn) {
  isDrawing = isOn && mayMark && picture.isMapped;
  byId("draw").setAttribute("aria-pressed", String(isDrawing));
  byId("canvas").classList.toggle("is-drawing", isDrawing);
}

async function layer(name) {
  if (byId(`layer-${name}`).hidden) return;
  picture.layers[name] = !picture.layers[name];
  await picture.draw();
  showPicture();
}

followFinger(picture, {
  isOn: () => isDrawing,
  grows: (points) => { picture.region = points; picture.draw(); },
  closed: (region) => {
    picture.region = region;
    picture.draw();
    draw(false);
    showPicture();
    if (!region) tell(byId("outcome"), t("part.no_area"), "bad");
  },
});

// Buttons, keys, swipes

byId("before").addEventListener("click", () => walk(-1));
byId("after").addEventListener("click", () => walk(1));
byId("undo").addEventListener("click", undo);
byId("draw").addEventListener("click", () => draw(!isDrawing));
byId("erase").addEventListener("click", () => { picture.region = null; picture.draw(); showPicture(); });
for (const name of ["frame", "outline", "map"]) byId(`layer-${name}`).addEventListener("click", () => layer(name));
for (const button of byId("marks").children) button.addEventListener("click", () => mark(button.dataset.mark));

const KEYS = {
  j: () => walk(1), ArrowRight: () => walk(1), k: () => walk(-1), ArrowLeft: () => walk(-1), z: undo, d: () => draw(!isDrawing),
  c: () => layer("frame"), o: () => layer("outline"), m: () => layer("map"), Escape: () => (isDrawing ? draw(false) : location.assign(byId("to-list").href)),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target.closest("input, select, textarea")) {
    if (event.key === "Escape" || event.key === "Enter") event.target.blur();
    return;
  }
  const at = MARKS[Number(event.key) - 1];
  const act = at ? () => mark(at) : KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

let touched = null;
byId("canvas").addEventListener("touchstart", ({ touches }) => {
  touched = touches.length === 1 && !isDrawing && (visualViewport?.scale ?? 1) < 1.05 ? touches[0] : null;
}, { passive: true });
byId("canvas").addEventListener("touchend", ({ changedTouches: [end] }) => {
  if (!touched) return;
  const [dx, dy] = [end.clientX - touched.clientX, end.clientY - touched.clientY];
  touched = null;
  if (Math.abs(dx) > SWIPE_PX && Math.abs(dx) > 2 * Math.abs(dy)) walk(dx < 0 ? 1 : -1);
});

addEventListener("beforeunload", (event) => { if (queue.count) event.preventDefault(); });

async function start() {
  showHeader();
  keepHeader();
  byId("to-list").href = `/parts${list.query ? `?${list.query}` : ""}`;
  byId("log-in").href = `/login?${new URLSearchParams({ back: location.pathname + location.search })}`;
  [mayMark, mayAccept, own] = [await may("operator"), await may("engineer"), (await me().catch(() => ({}))).name ?? ""];
  byId("marking").hidden = !mayMark;
  byId("may-not").hidden = mayMark;
  queue.author = own;
  if (mayMark && queue.count) queue.start();
  read(`${BASE}/parts/choices`).then(({ classes }) => byId("classes").replaceChildren(...classes.map((name) => new Option(name)))).catch(() => {});
  try {
    await show(here);
  } catch (error) {
    tell(byId("outcome"), error.detail || t("parts.silent"), "bad");
    byId("marking").hidden = false;
    write(byId("verdict-word"), error.detail || t("parts.silent"));
  }
}

start();
