// The one thing that counts now: take this part out, check by hand, or all is well.

import { byId, write } from "../lib/dom.js";
import { faultText, nameOf, overText } from "../lib/describe.js";
import { evidencePicture, sidecarOf } from "../lib/evidence.js";
import { shareText } from "../lib/share.js";
import { lineState } from "../lib/state.js";
import { age, clockTime, moment } from "../lib/times.js";
import { oneOf, t } from "../lib/words.js";
import { verdictCode } from "./cameras.js";

const URGENCY = ["NONE", "OK", "SUSPECT", "NOT_INSPECTED", "NG"];

const AGAIN_MS = 2000; // what lies beside a picture may be written a moment after its row

let pictured = null; // key of the picture that is shown
let againMs = Infinity; // when it is asked for once more

// What is shown: { code, word, which, when, todo, sentence, part }.
export function stageOf({ state, queue, settledIds, isLost, known }) {
  if (isLost) return { code: "BLIND", word: t("stage.no_contact"), todo: t("stage.do_no_contact") };
  if (queue.mode === "latch" && queue.parts.length > 0) return takeOut(queue, state);
  const now = lineState(state);
  if (!now.isInspecting) return blind(now, state);
  const verdict = worstVerdict(state.cameras, settledIds);
  if (verdict === null) return { code: "NONE", word: t("stage.ready"), todo: "" };
  return ofVerdict(verdict, queue, state, known);
}

function takeOut(queue, state) {
  const part = queue.shown;
  const now = lineState(state);
  const waiting = queue.waiting > 1 ? t("stage.of_waiting", { n: queue.parts.indexOf(part) + 1, count: queue.waiting }) : "";
  const ago = t("stage.ago", { age: age((state.now_ns / 1e6 - moment(part.take_out?.since ?? part.captured_at)) / 1000) });
  return {
    code: "NG",
    word: t("stage.take_out"),
    which: [nameOf(part), (state.cameras ?? []).length > 1 ? part.camera : ""].filter(Boolean).join(" · "),
    when: [ago, waiting].filter(Boolean).join(" · "),
    todo: now.isInspecting ? "" : [now.camera ? t("stage.at_camera", { camera: now.camera, state: now.short }) : now.title, now.todo].join(". "),
    part,
    isLatched: true,
  };
}

function blind(now, state) {
  const isSome = now.blind < now.count;
  const where = now.camera && now.code !== "not_running" ? t("stage.at_camera", { camera: now.camera, state: now.short }) : now.title;
  const shown = (state.cameras ?? []).filter((c) => c.is_blind && c.verdict).map((c) => c.verdict);
  const last = shown.sort((a, b) => b.captured_at_ns - a.captured_at_ns)[0];
  return {
    code: "BLIND",
    word: isSome ? t("state.some", { n: now.blind, count: now.count }) : t("stage.not_inspecting"),
    which: where,
    when: last ? t("line.last_was", { time: clockTime(last.captured_at_ns), verdict: oneOf("verdict", verdictCode(last)) }) : "",
    todo: now.todo,
  };
}

// A bad part that was settled is no longer what counts, though it is its camera's last.
function worstVerdict(cameras, settledIds) {
  const found = cameras.filter((c) => !c.is_blind && c.verdict).map((c) => c.verdict);
  const open = found.filter((v) => !(v.state === "NG" && settledIds.has(v.part_id)));
  return open.reduce((a, b) => (a === null || URGENCY.indexOf(verdictCode(b)) > URGENCY.indexOf(verdictCode(a)) ? b : a), null);
}

function ofVerdict(verdict, queue, state, known) {
  const code = verdictCode(verdict);
  const part = known.get(verdict.part_id) ?? null;
  if (verdict.golden) return golden(verdict, code);
  const todos = { NG: queue.mode === "list" ? t("stage.do_list") : t("stage.do_ng"), NOT_INSPECTED: t("stage.do_not_inspected"), SUSPECT: t("stage.do_suspect") };
  const many = state.cameras.length > 1;
  const now = lineState(state);
  return {
    code,
    word: oneOf("verdict", code),
    which: [nameOf(verdict), many ? verdict.camera : ""].filter(Boolean).join(" · "),
    when: t("line.at", { time: clockTime(verdict.captured_at_ns) }),
    todo: [todos[code] ?? "", now.level === "bad" ? `${now.title}. ${now.todo}` : ""].filter(Boolean).join(" "),
    sentence: verdict.score == null ? oneOf("reason", verdict.reason_code) : shareText(verdict.score, verdict.threshold),
    part: ["NG", "NOT_INSPECTED"].includes(code) && part?.evidence_url && queue.mode === "latch" ? part : null,
  };
}

// A test of the line: it is shown as it was judged, and nobody has to take it out of production.
function golden(verdict, code) {
  return {
    code,
    word: oneOf("verdict", code),
    which: nameOf(verdict),
    when: t("line.at", { time: clockTime(verdict.captured_at_ns) }),
    todo: t("stage.do_golden", { part: verdict.golden }),
    sentence: verdict.score == null ? "" : shareText(verdict.score, verdict.threshold),
    part: null,
  };
}

// `drawn` is called when a picture has come, which may take a while.
export function showStage(shown, drawn) {
  const stage = byId("stage");
  stage.dataset.verdict = shown.code;
  const isLarge = Boolean(shown.isLatched || shown.part);
  byId("main").dataset.stage = isLarge ? "large" : "rest";
  document.body.dataset.now = shown.code;
  write(byId("word"), shown.word);
  byId("word").classList.toggle("is-long", shown.word.length > 16);
  write(byId("which"), shown.which ?? "");
  write(byId("when"), shown.when ?? "");
  write(byId("todo"), shown.todo ?? "");
  byId("settle").hidden = !shown.isLatched;
  if (!isLarge) {
    write(byId("sentence"), shown.sentence ?? "");
    pictured = null;
    clearPicture();
    byId("evidence").hidden = true;
    return;
  }
  showPart(shown).then(drawn);
}

// The box of a picture that is to come is as high as the one before it: what stands below stays.
function clearPicture() {
  const box = byId("evidence");
  if (!box.hidden) box.style.height = `${box.getBoundingClientRect().height}px`; // offsetHeight is rounded
  byId("evidence-picture").replaceChildren();
  byId("no-picture").hidden = true;
  delete box.dataset.part;
}

function putPicture(part, picture) {
  const box = byId("evidence");
  box.style.height = "";
  byId("no-picture").hidden = picture !== null;
  byId("evidence-picture").replaceChildren(...(picture ? [picture] : []));
  box.dataset.part = part.id;
}

async function showPart({ part, sentence }) {
  const key = `${part.id} ${part.evidence_url} ${part.has_crop}`;
  if (pictured === key && performance.now() < againMs) return;
  const isNew = pictured !== key;
  [pictured, againMs] = [key, Infinity];
  if (isNew) {
    write(byId("sentence"), sentence ?? `${faultText(part, null)} – ${overText(part)}`);
    byId("evidence").hidden = false;
    clearPicture();
  }
  const sidecar = await sidecarOf(part);
  const picture = await evidencePicture(part);
  if (pictured !== key) return; // another part counts by now
  if (!sidecar && part.evidence_url) againMs = performance.now() + AGAIN_MS;
  if (!sidecar && !isNew) return;
  if (part.state === "NG") write(byId("sentence"), `${faultText(part, sidecar)} – ${overText(part)}`);
  putPicture(part, picture);
  picture?.addEventListener("missing", () => putPicture(part, null));
}
