// From the facts of /api/state to the one state that people see, with what to do.

import { oneOf, hasWords, t } from "./words.js";

// What is worst comes first.
const ORDER = ["not_running", "no_bundle", "blind", "stalled", "reconnecting", "impaired", "degraded", "starting", "paused", "ended", "waiting_for_trigger", "capturing"];

const rank = (camera) => {
  const found = ORDER.indexOf(camera.state);
  return found < 0 ? 0 : found;
};

const LEVEL = { true: "good", false: "bad", null: "plain" };

// Returns { code, level, title, todo, camera, why, isInspecting, blind, count }: the worst camera
// names the state of the line; where there are others, it is named, and those that do not inspect
// are counted.
export function lineState(state) {
  const cameras = state?.cameras ?? [];
  if (state?.has_line === false) return told("not_running", "bad", { isInspecting: false });
  if (cameras.length === 0) return told("starting", "plain", { isInspecting: false });
  const worst = cameras.reduce((a, b) => (rank(b) < rank(a) ? b : a));
  const blind = cameras.filter((camera) => camera.is_blind).length;
  const more = { camera: cameras.length > 1 ? worst.name : "", why: worst.reason_text ?? "", isInspecting: blind === 0, blind, count: cameras.length };
  return told(worst.state, LEVEL[String(worst.is_good)] ?? "bad", more);
}

function told(code, level, { camera = "", why = "", isInspecting, blind = 0, count = 0 }) {
  const known = hasWords("state", code) ? code : "other";
  const isSome = blind > 0 && blind < count;
  const title = isSome ? t("state.some", { n: blind, count }) : t(`state.${known}`, { code: code.replaceAll("_", " ") });
  return { code, level, title, short: oneOf("short", code), todo: oneOf("do", known), camera, why, isInspecting, blind, count };
}
