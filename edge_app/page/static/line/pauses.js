// Pausing inspection for a while, and ending a pause: an operator's order, with a reason that stands in
// the audit. While it lasts parts are NOT INSPECTED and nobody is alarmed.

import { BASE, order } from "../lib/api.js";
import { byId, tell } from "../lib/dom.js";
import { t } from "../lib/words.js";

const MINUTES = [5, 15, 30, 60, 120];

const panel = byId("pause-panel");
const form = byId("pause-form");
const fields = form.elements;
let shown = "";

// Offer what the cameras' state allows: a pause where something inspects, an end where something is paused.
export function offerPauses(cameras, isOffered) {
  panel.hidden = !isOffered || cameras.length === 0;
  const paused = cameras.filter((camera) => camera.state === "paused");
  byId("pause-begin").hidden = paused.length === cameras.length;
  byId("pause-end").hidden = paused.length === 0;
  fields.minutes.closest("label").hidden = paused.length === cameras.length;
  const names = cameras.map((camera) => camera.name);
  const key = JSON.stringify(names);
  if (key === shown) return;
  shown = key;
  const every = new Option(t("pause.every_camera"), "");
  fields.camera.replaceChildren(...(names.length > 1 ? [every] : []), ...names.map((name) => new Option(name, names.length > 1 ? name : "")));
  fields.minutes.replaceChildren(...MINUTES.map((n) => new Option(t("age.min", { n }), String(n))));
  fields.minutes.value = "15";
}

async function give(address, data) {
  const answer = await order("pause", `${BASE}/${address}`, { camera: fields.camera.value, why: fields.why.value.trim(), ...data });
  if (!answer) return;
  const { isOk, body } = answer;
  tell(byId("pause-outcome"), isOk ? body.text : body.detail, isOk ? "good" : "bad");
  if (isOk) fields.why.value = "";
}

export function startPauses() {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const ends = event.submitter === byId("pause-end");
    give(ends ? "resume" : "pause", ends ? {} : { minutes: Number(fields.minutes.value) });
  });
}
