// The last alarms, one card each; drawn while the list is open.

import { byId, clone, make } from "../lib/dom.js";
import { shareText } from "../lib/share.js";
import { age, clockTime, isoTime } from "../lib/times.js";
import { oneOf, t } from "../lib/words.js";

const shown = new Map(); // alarm_id → { key, card }

// An unchanged alert keeps its card, a changed one its picture: nothing flickers or loads twice.
function alertCard(alert) {
  const key = JSON.stringify(alert);
  const known = shown.get(alert.alarm_id);
  if (known?.key === key) return known.card;
  const card = newCard(alert);
  const sameEvidence = known && known.card.dataset.evidence === card.dataset.evidence;
  const thumb = card.querySelector(".thumb");
  if (sameEvidence) thumb.replaceWith(known.card.querySelector(".thumb"));
  else thumbnail(thumb, alert);
  shown.set(alert.alarm_id, { key, card });
  return card;
}

export function gapText({ count, reason }) {
  const why = oneOf("reason", reason);
  return count === 1 ? t("line.gap_one", { why }) : t("line.gap", { count, why });
}

// Parts that nobody judged, of the last minutes: one sentence per reason, with the age of the latest.
export function gapTexts(alerts, nowNs, withinS) {
  const sums = new Map();
  for (const { gap, at_ns: at } of alerts) {
    if (!gap || (nowNs - at) / 1e9 > withinS) continue;
    const sum = sums.get(gap.reason) ?? { reason: gap.reason, count: 0, at: 0 };
    sums.set(gap.reason, { ...sum, count: sum.count + gap.count, at: Math.max(sum.at, at) });
  }
  return [...sums.values()].map((sum) => `${gapText(sum)} ${t("stage.ago", { age: age((nowNs - sum.at) / 1e9) })}`);
}

function newCard(alert) {
  const card = clone(byId("alert-template"));
  card.dataset.evidence = alert.evidence ?? "";
  const put = (css, text) => (card.querySelector(css).textContent = text);
  const verdict = alert.verdict;
  card.dataset.verdict = verdict ? verdict.state : "GAP";
  put(".badge", verdict ? oneOf("verdict", verdict.state) : t("line.missed"));
  const time = card.querySelector("time");
  time.textContent = clockTime(alert.at_ns);
  time.dateTime = isoTime(alert.at_ns);
  if (verdict?.score != null) put(".alert-score", shareText(verdict.score, verdict.threshold));
  put(".alert-text", alert.gap ? gapText(alert.gap) : verdict?.reason_code ? oneOf("reason", verdict.reason_code) : alert.text);
  const part = verdict?.source_name ?? verdict?.part_id ?? "";
  const camera = part.startsWith(alert.camera) ? "" : alert.camera;
  put(".alert-part", [oneOf("event", alert.kind), camera, part].filter(Boolean).join(" · "));
  return card;
}

function thumbnail(link, alert) {
  const picture = link.firstElementChild;
  const miss = () => {
    picture.hidden = true;
    link.removeAttribute("href");
    link.classList.add("is-missing");
    link.append(t("line.no_thumb"));
  };
  if (!alert.evidence) return miss();
  picture.addEventListener("error", miss, { once: true });
  picture.addEventListener("load", () => zoom(picture, link, alert), { once: true });
  picture.alt = t("part.picture_alt", { part: alert.verdict?.part_id ?? "" });
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
  const hold = (middle, seen, whole) => Math.min(0, Math.max(seen - whole * scale, seen / 2 - middle * scale));
  picture.classList.add("is-zoomed");
  picture.style.width = `${w * scale}px`;
  const [left, top] = [hold((x0 + x1) / 2, clientWidth, w), hold((y0 + y1) / 2, clientHeight, h)];
  Object.assign(picture.style, { left: `${left}px`, top: `${top}px` });
  alert.defects_xyxy.forEach((box) => link.append(defectBox(box, left, top, scale)));
}

function defectBox([x0, y0, x1, y1], left, top, scale) {
  const box = make("span", { className: "defect" });
  const px = (value) => `${value}px`;
  Object.assign(box.style, {
    left: px(left + x0 * scale - 4), top: px(top + y0 * scale - 4),
    width: px((x1 - x0) * scale + 8), height: px((y1 - y0) * scale + 8),
  });
  return box;
}

export function showAlerts(alerts) {
  if (!byId("alerts-panel").open) return;
  byId("no-alerts").hidden = alerts.length > 0;
  const list = byId("alerts");
  const cards = alerts.map(alertCard);
  const isSame = cards.length === list.children.length && cards.every((card, i) => card === list.children[i]);
  if (!isSame) list.replaceChildren(...cards);
  const current = new Set(alerts.map((alert) => alert.alarm_id));
  for (const id of shown.keys()) if (!current.has(id)) shown.delete(id);
}
