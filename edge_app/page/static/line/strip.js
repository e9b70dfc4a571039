// The last parts as a strip, the newest first: sign, word and number of each.

import { BASE, read } from "../lib/api.js";
import { byId, make } from "../lib/dom.js";
import { numberName } from "../lib/describe.js";
import { clockTime } from "../lib/times.js";
import { oneOf } from "../lib/words.js";

const MOST = 12;

export const known = new Map(); // part_id → part, of the strip and the queue

export async function readStrip(settledIds) {
  const { parts } = await read(`${BASE}/parts?limit=${MOST}`);
  known.clear();
  for (const part of parts) {
    known.set(part.part_id, part);
    if (part.take_out?.outcome) settledIds.add(part.part_id);
  }
  show(parts.filter((part) => part.is_final));
}

function codeOf(part) {
  return part.is_suspect && part.state === "OK" ? "SUSPECT" : part.state;
}

function below(part) {
  if (part.golden) return part.golden;
  if (part.take_out?.outcome) return oneOf("outcome", part.take_out.outcome);
  return document.body.classList.contains("has-many") ? `${part.camera} ${part.number ?? clockTime(part.captured_at)}` : numberName(part);
}

// Where this device serves a view of one part, each leads there.
const hasPartView = () => Boolean(byId("views")?.querySelector('[href="/parts"]'));

function show(parts) {
  const list = byId("strip");
  const isLink = hasPartView();
  const key = JSON.stringify([isLink, document.body.className]) + JSON.stringify(parts.map((part) => [part.id, part.state, part.take_out?.outcome]));
  if (list.dataset.key === key) return;
  list.dataset.key = key;
  list.replaceChildren(...parts.map((part) => {
    const code = codeOf(part);
    const isSettled = Boolean(part.take_out?.outcome);
    return make("li", { dataset: { verdict: code, ...(isSettled ? { settled: "1" } : {}) }, title: `${part.part_id} · ${clockTime(part.captured_at)}` },
      make(isLink ? "a" : "div", isLink ? { href: `/part?id=${part.id}` } : {},
        make("span", { className: "verdict-sign", dataset: { verdict: code }, "aria-hidden": "true" }),
        make("span", { className: "strip-word" }, oneOf("verdict", code)),
        make("span", { className: "strip-part" }, below(part))));
  }));
}
