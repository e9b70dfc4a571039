// A histogram of scores as inline SVG: bars of the chosen days, the calibration's outline behind them,
// marks above them, the present limit and the one that is tried as lines with their names.

import { svg } from "../lib/dom.js";
import { figure, number } from "../lib/share.js";
import { t } from "../lib/words.js";

const PAD = { left: 52, right: 16, top: 58, bottom: 44 };
const OVER = 14; // from the plot to the names above it: the highest level stands between them
const ROW = 16; // of marks
const MARK_ROWS = ["missed", "false_alarm", "right"];
const SIGNS = { missed: "✕", false_alarm: "○", right: "✓" };

const text = (x, y, words, more = {}) => svg("text", { x, y, ...more }, words);

// counts: Map bin → parts; bins below … above lie around the limit. tried: the bin at which the
// limit that is tried begins. calibration: what /limits says, or null. marks: [{ bin, mark }].
export function drawChart(box, { counts, below, above, width, limit, suspect, tried, calibration, marks }) {
  const [w, h] = [Math.max(280, box.clientWidth), Math.max(200, box.clientHeight)];
  const plot = { left: PAD.left, right: w - PAD.right, top: PAD.top + (marks.length ? MARK_ROWS.length * ROW : 0), bottom: h - PAD.bottom };
  const x = (bin) => plot.left + ((bin + below) / (below + above)) * (plot.right - plot.left);
  const outline = calibrated(calibration, counts, width, limit, below, above);
  const most = Math.max(10, ...counts.values(), ...outline.map(([, n]) => n));
  const y = (n) => plot.bottom - (Math.log10(1 + n) / Math.log10(1 + most)) * (plot.bottom - plot.top);
  const chart = svg("svg", { viewBox: `0 0 ${w} ${h}`, width: w, height: h, "aria-hidden": "true" });
  chart.append(...levels(most, plot, y), ...shares(limit, width, below, above, x, plot));
  const thin = Math.max(1, x(1) - x(0) - 1);
  for (const [bin, n] of counts) {
    const kind = bin >= tried ? "ng" : suspect !== null && bin >= suspect ? "suspect" : "ok";
    chart.append(svg("rect", { x: x(bin), y: y(n), width: thin, height: plot.bottom - y(n), class: `bar ${kind}` }));
  }
  if (outline.length) chart.append(svg("path", { d: steps(outline, x, y, plot), class: "calibration" }));
  chart.append(...rows(marks, x, plot));
  chart.append(...line(x(0), plot, t("limit.present"), "present", false));
  if (tried !== 0) chart.append(...line(x(tried), plot, t("limit.tried"), "tried", tried < 0 || x(tried) > w * 0.8));
  box.replaceChildren(chart);
}

// The calibration as this many parts would look: [bin, parts] in the chart's own bins.
function calibrated(calibration, counts, width, limit, below, above) {
  if (!calibration || !calibration.width || counts.size === 0) return [];
  const all = [...counts.values()].reduce((sum, n) => sum + n, 0);
  const share = (all / calibration.good_parts) * (width / calibration.width);
  const found = [];
  for (let bin = -below; bin < above; bin += 1) {
    const at = Math.floor((limit + (bin + 0.5) * width - calibration.low) / calibration.width);
    found.push([bin, (calibration.counts[at] ?? 0) * share]);
  }
  return found;
}

function steps(outline, x, y, plot) {
  const points = outline.flatMap(([bin, n]) => [[x(bin), y(n)], [x(bin + 1), y(n)]]);
  return `M${x(outline[0][0])},${plot.bottom}L${points.map((p) => p.map((v) => v.toFixed(1)).join(",")).join("L")}V${plot.bottom}`;
}

function levels(most, plot, y) {
  const found = [];
  for (let n = 1; n <= most; n *= 10) {
    found.push(svg("line", { x1: plot.left, x2: plot.right, y1: y(n), y2: y(n), class: "grid" }));
    found.push(text(plot.left - 7, y(n) + 4, number(n), { "text-anchor": "end" }));
  }
  found.push(svg("line", { x1: plot.left, x2: plot.right, y1: plot.bottom, y2: plot.bottom, class: "axis" }));
  found.push(text(4, plot.top - OVER, t("limit.parts_axis"), { class: "name" }));
  found.push(text(plot.right + 8, plot.top - OVER, t("limit.last_bar"), { "text-anchor": "end" }));
  return found;
}

// Ticks at round shares of the limit; raw scores where the limit is not above 0.
function shares(limit, width, below, above, x, plot) {
  const [low, high] = [limit - below * width, limit + above * width];
  const unit = limit > 0 ? limit / 100 : 1;
  const wide = (high - low) / unit / Math.max(3, Math.floor((plot.right - plot.left) / 66));
  const power = 10 ** Math.floor(Math.log10(wide));
  const step = [1, 2, 2.5, 5, 10].map((n) => n * power).find((n) => n >= wide);
  const found = [];
  for (let n = Math.ceil(low / unit / step); n * step * unit <= high; n += 1) {
    const tick = n * step || 0; // never -0
    const at = x((tick * unit - limit) / width);
    const raw = figure(tick * unit);
    found.push(svg("line", { x1: at, x2: at, y1: plot.bottom, y2: plot.bottom + 5, class: "axis" }));
    found.push(text(at, plot.bottom + 19, limit > 0 ? `${number(tick)} %` : raw, { "text-anchor": "middle" }));
    if (limit > 0) found.push(text(at, plot.bottom + 35, raw, { "text-anchor": "middle", class: "raw" }));
  }
  return found;
}

function rows(marks, x, plot) {
  if (!marks.length) return [];
  const top = plot.top - OVER - MARK_ROWS.length * ROW;
  const label = MARK_ROWS.map((mark, i) => text(plot.left - 7, top + i * ROW + 4, `${SIGNS[mark]}`, { "text-anchor": "end", class: `mark ${mark}` }));
  const dots = marks.filter(({ mark }) => mark in SIGNS).map(({ bin, mark }) => text(x(bin + 0.5), top + MARK_ROWS.indexOf(mark) * ROW + 4, SIGNS[mark], { "text-anchor": "middle", class: `mark ${mark}` }));
  return [...label, ...dots];
}

function line(at, plot, words, name, isLeft) {
  const y = name === "present" ? 12 : 26;
  return [
    svg("line", { x1: at, x2: at, y1: y - 10, y2: plot.bottom, class: `limit ${name}` }),
    text(at + (isLeft ? -6 : 6), y, words, { "text-anchor": isLeft ? "end" : "start", class: `limit-name ${name}` }),
  ];
}
