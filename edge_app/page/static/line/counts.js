// Parts of this shift and bad parts per hour, from the device's history.

import { BASE, read } from "../lib/api.js";
import { byId, make, svg, write } from "../lib/dom.js";
import { number } from "../lib/share.js";
import { readShifts } from "../lib/shifts.js";
import { hourTime, moment } from "../lib/times.js";
import { t } from "../lib/words.js";

const HOURS = 8;
const HOUR_MS = 3600e3;
const COUNTED = ["ok", "suspect", "ng", "not_inspected"];

const zero = () => Object.fromEntries(COUNTED.map((name) => [name, 0]));

// Counts of all cameras per beginning, the oldest first.
function perBegin(counts) {
  const sums = new Map();
  for (const count of counts) {
    const at = moment(count.from).getTime();
    const into = sums.get(at) ?? zero();
    for (const name of COUNTED) into[name] += count[name];
    sums.set(at, into);
  }
  return [...sums].sort(([a], [b]) => a - b);
}

export async function readCounts(nowNs) {
  const now = nowNs / 1e6;
  const from = (ms) => encodeURIComponent(new Date(now - ms).toISOString());
  const { current } = await readShifts();
  const [shift, hours] = await Promise.all([
    read(`${BASE}/counts?per=shift&from=${encodeURIComponent(current.from)}`),
    read(`${BASE}/counts?per=hour&from=${from((HOURS - 1) * HOUR_MS)}`),
  ]);
  const begin = moment(current.from);
  const sums = new Map(perBegin(shift.counts));
  put(sums.get(begin.getTime()) ?? zero(), t("line.this_shift", { time: hourTime(begin) }));
  showHours(new Map(perBegin(hours.counts)), now);
}

// Without a history: since inspection was started.
export function countsOfFigures(cameras) {
  const sums = zero();
  for (const { figures } of cameras) {
    sums.ok += figures.parts - figures.ng - figures.not_inspected;
    sums.ng += figures.ng;
    sums.not_inspected += figures.not_inspected;
    sums.suspect += figures.suspect;
  }
  put(sums, t("line.since_start"));
}

function put(counts, since) {
  const parts = counts.ok + counts.ng + counts.not_inspected;
  write(byId("since"), since);
  write(byId("count-parts"), number(parts));
  write(byId("count-ng"), number(counts.ng));
  write(byId("count-share"), parts ? `${number((100 * counts.ng) / parts, 1)} %` : "");
  write(byId("count-not"), number(counts.not_inspected));
  write(byId("count-suspect"), number(counts.suspect));
}

function showHours(sums, now) {
  const start = Math.floor(now / HOUR_MS) * HOUR_MS;
  const bars = Array.from({ length: HOURS }, (_, i) => {
    const at = start - (HOURS - 1 - i) * HOUR_MS;
    return { at, ng: sums.get(at)?.ng ?? 0 };
  });
  const most = Math.max(1, ...bars.map((bar) => bar.ng));
  const said = bars.map(({ at, ng }) => `${hourTime(new Date(at))}: ${ng}`).join(", ");
  const key = `${said} ${most}`;
  const box = byId("hour-bars");
  byId("hours").hidden = false;
  if (box.dataset.key === key) return;
  box.dataset.key = key;
  const drawn = bars.map(({ ng }, i) => {
    const height = (40 * ng) / most;
    return svg("rect", { x: 12.5 * i + 1, y: 50 - height, width: 10.5, height: Math.max(height, 0.8), class: i === HOURS - 1 ? "hour now" : "hour" });
  });
  const texts = make("p", { className: "hour-texts", "aria-hidden": "true" }, ...bars.map(({ ng, at }) => make("span", {}, make("b", {}, String(ng)), make("br"), new Date(at).getHours())));
  box.replaceChildren(svg("svg", { viewBox: "0 0 100 51", preserveAspectRatio: "none", role: "img", "aria-label": said }, ...drawn), texts);
}
