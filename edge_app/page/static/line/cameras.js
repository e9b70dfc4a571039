// The cameras of the line: every configured one, with its state, its newest picture and its last verdict.

import { ask } from "../lib/ask.js";
import { byId, chip, clone, pause, write } from "../lib/dom.js";
import { numberName } from "../lib/describe.js";
import { number, rawText, shareText } from "../lib/share.js";
import { lineState } from "../lib/state.js";
import { age, clockTime } from "../lib/times.js";
import { oneOf, t } from "../lib/words.js";

const PICTURE_PAUSE_MS = 80;
const OLD_PICTURE_S = 5;
const STILL = ["waiting_for_trigger", "ended"];

const startsWithMap = new URLSearchParams(location.search).get("map") === "1";
const cameras = new Map();

function cameraCard(name) {
  if (cameras.has(name)) return cameras.get(name);
  const card = clone(byId("camera-template"));
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
  document.body.classList.toggle("has-crowd", cameras.size > 2);
  showPictures(camera);
  return camera;
}

// What a verdict is called: OK, SUSPECT, NG, NOT_INSPECTED.
export const verdictCode = (verdict) => (verdict.is_suspect ? "SUSPECT" : verdict.state);

export const partName = (verdict) => (verdict.number == null && (verdict.source_name ?? verdict.trigger_id)) || numberName(verdict);

function showVerdict(camera, data) {
  const { card, find } = camera;
  const verdict = data.verdict;
  const code = data.is_blind ? "BLIND" : verdict ? verdictCode(verdict) : "NONE";
  card.dataset.verdict = code;
  find(".verdict-sign").dataset.verdict = code;
  // Without pictures the last part's verdict says nothing of what passes now: never leave OK standing.
  write(find(".verdict"), code === "NONE" ? t("line.no_part") : oneOf("verdict", code));
  if (data.is_blind) {
    write(find(".score"), "");
    write(find(".part"), verdict ? t("line.last_was", { time: clockTime(verdict.captured_at_ns), verdict: oneOf("verdict", verdictCode(verdict)) }) : "");
    return;
  }
  if (!verdict) return;
  write(find(".score"), verdict.score == null ? oneOf("reason", verdict.reason_code) : shareText(verdict.score, verdict.threshold));
  write(find(".part"), `· ${t("line.part_at", { part: partName(verdict), time: clockTime(verdict.captured_at_ns) })}`);
  write(find(".raw"), verdict.score == null ? "" : rawText(verdict.score, verdict.threshold));
}

function showFigures(camera, figures) {
  const put = (key, text, unit) => {
    const cell = camera.find(`[data-figure=${key}]`);
    const whole = unit ? `${text} ${unit}` : text;
    if (cell.textContent === whole) return;
    cell.textContent = text;
    if (unit) cell.append(Object.assign(document.createElement("small"), { textContent: ` ${unit}` }));
  };
  put("parts", number(figures.parts));
  put("ng", number(figures.ng), figures.ng_percent == null ? "" : `${number(figures.ng_percent, 1)} %`);
  put("suspect", number(figures.suspect));
  put("not_inspected", number(figures.not_inspected));
  put("fps", number(figures.frames_per_second, 1), t("line.a_second"));
  put("latency", number(figures.latency_ms), figures.latency_ms == null ? "" : "ms");
  put("skipped", number(figures.skipped));
}

export function showCamera(data, hasMap) {
  const camera = cameraCard(data.name);
  const state = lineState({ cameras: [data] });
  const isOld = !STILL.includes(data.state) && data.picture_age_s > OLD_PICTURE_S;
  const old = isOld ? t("line.picture_old", { age: age(data.picture_age_s) }) : "";
  chip(camera.find(".camera-state"), [state.short, data.is_good === true ? "" : old].filter(Boolean).join(" – "), state.level);
  write(camera.find(".camera-why"), data.reason_text);
  showVerdict(camera, data);
  showFigures(camera, data.figures);
  camera.find(".map-toggle").hidden = !hasMap || data.sequence === 0;
  camera.find(".picture").classList.toggle("is-old", isOld);
  camera.card.classList.toggle("is-empty", data.sequence === 0);
  const caption = camera.find("figcaption");
  caption.hidden = data.sequence > 0 && !isOld;
  write(caption, isOld ? t("line.this_picture_old", { age: age(data.picture_age_s) }) : data.sequence > 0 ? "" : t("line.no_live"));
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
      const answer = await ask(address + after, { signal: AbortSignal.timeout(10000) });
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
  picture.alt = t("line.live_alt", { camera: camera.name });
  camera.sequence = Number(answer.headers.get("X-Frame-Sequence"));
  if (before.startsWith("blob:")) URL.revokeObjectURL(before);
}
