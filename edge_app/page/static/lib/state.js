// From the facts of /api/state to the one state that people see, with what to do.

import { oneOf, hasWords, t } from "./words.js";

// What is worst comes first.
const ORDER = ["not_running", "no_bundle", "blind", "stalled", "reconnecting", "impaired", "degraded", "starting", "paused", "ended", "waiting_for_trigger", "capturing"];

const rank = (camera) => {
  const found = ORDER.indexOf(camera.state);
  return found < 0 ? 0 : found;
};

const LEVEL = { true: "good", false: "bad", null: "plain" };

// Returns { code, level, title, todo, camera, why, isInspecting }: the worst camera names the state
// of the line, and is named where there is another one.
export function lineState(state) {
  const cameras = state?.cameras ?? [];
  if (state?.has_line === false) return told("not_running", "bad", "", "", false);
  if (cameras.length === 0) return told("starting", "plain", "", "", false);
  const worst = cameras.reduce((a, b) => (rank(b) < rank(a) ? b : a));
  const camera = cameras.length > 1 ? worst.name : "";
  return told(worst.state, LEVEL[String(worst.is_good)] ?? "bad", camera, worst.reason_text ?? "", !worst.is_blind);
}

function told(code, level, camera, why, isInspecting) {
  const known = hasWords("state", code) ? code : "other";
  const title = t(`state.${known}`, { code: code.replaceAll("_", " ") });
  return { code, level, title, todo: oneOf("do", known), camera, why, isInspecting };
}
