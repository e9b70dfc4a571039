// Golden parts: known rejects that are shown by schedule. A person says here that one comes next.

import { BASE, order } from "../lib/api.js";
import { byId, make, tell } from "../lib/dom.js";
import { dayTime } from "../lib/times.js";
import { oneOf, t } from "../lib/words.js";

const panel = byId("golden-panel");
let shown = "";

export function showGolden(parts, isOffered) {
  panel.hidden = !isOffered || parts.length === 0;
  const key = JSON.stringify(parts);
  if (panel.hidden || key === shown) return;
  shown = key;
  const calls = parts.some((part) => part.due_at || part.is_alarmed);
  if (calls && !panel.dataset.opened) panel.open = true;
  panel.dataset.opened = calls ? "1" : "";
  byId("golden-list").replaceChildren(...parts.map(row));
}

function row(part) {
  const { name, camera, times, due_at: due, left_min: left, is_announced: isAnnounced, outcome, outcome_at: at } = part;
  const last = outcome ? oneOf("golden_outcome", outcome, { at: dayTime(at) }) : t("golden.never");
  const button = make("button", { type: "button", className: due || part.is_alarmed ? "button primary" : "button", disabled: isAnnounced, onclick: () => announce(name) }, t("golden.next"));
  button.setAttribute("aria-label", `${t("golden.next")}: ${name}`);
  const now = isAnnounced ? t("golden.announced") : due ? t("golden.due", { left: Math.ceil(left) }) : "";
  return make("li", { dataset: { state: part.is_alarmed ? "bad" : due ? "due" : "good" } },
    make("strong", {}, name), make("span", { className: "golden-now" }, now),
    make("span", { className: "golden-last" }, last),
    make("span", { className: "soft" }, t("golden.times", { camera, times: times.join(", ") })), button);
}

async function announce(name) {
  const answer = await order("golden", `${BASE}/golden-parts/${encodeURIComponent(name)}/shown`);
  if (!answer) return;
  const { isOk, body } = answer;
  tell(byId("golden-outcome"), isOk ? body.text : body.detail, isOk ? "good" : "bad");
}
