// Scores of the chosen days, and what a limit makes of them. No drawing here.

import { BASE, read } from "../lib/api.js";
import { currentOf } from "../parts/query.js";

const TIMEOUT_MS = 20000;
const BELOW = 80;
const ABOVE = 120;
const NEAREST = 48;
const MARK_PAGES = 4;

// Bins of a slot's scores: the present limit is the edge between bin -1 and bin 0.
export function gridOf({ score_threshold: limit, calibration }) {
  const low = calibration && calibration.low < limit ? calibration.low : Math.min(0, limit - Math.abs(limit));
  const width = (limit - low) / BELOW || 1 / BELOW;
  return { limit, width, below: BELOW, above: ABOVE };
}

export const scoreAt = ({ limit, width }, bin) => (bin === 0 ? limit : Number((limit + bin * width).toPrecision(6)));
export const binOf = ({ limit, width, below, above }, score) => Math.max(-below, Math.min(above - 1, Math.floor((score - limit) / width)));

// Asks piece by piece; calls `grows` with all that is known after each. A newer question ends this one.
export async function countScores(slot, grid, { from, to, camera }, isWanted, grows) {
  const found = { bins: new Map(), unscored: { ok: 0, suspect: 0, ng: 0, not_inspected: 0 }, others: 0, above: [], below: [], isWhole: false };
  let cursor = null;
  do {
    const query = new URLSearchParams({ from: from.toISOString(), to: to.toISOString(), bundle: slot.bundle_sha256, precision: slot.precision, limit: grid.limit, width: grid.width, below: grid.below, above: grid.above });
    if (camera) query.set("camera", camera);
    if (cursor) query.set("cursor", cursor);
    const piece = await read(`${BASE}/scores?${query}`, TIMEOUT_MS);
    if (!isWanted()) return null;
    add(found, piece, grid.limit);
    cursor = piece.next;
    found.isWhole = cursor === null;
    grows(found);
  } while (cursor !== null);
  return found;
}

function add(found, piece, limit) {
  for (const { bin, ...verdicts } of piece.bins) {
    const sum = found.bins.get(bin) ?? { ok: 0, suspect: 0, ng: 0 };
    for (const name of Object.keys(sum)) sum[name] += verdicts[name];
    found.bins.set(bin, sum);
  }
  for (const name of Object.keys(found.unscored)) found.unscored[name] += piece.unscored[name];
  found.others += piece.other_bundles;
  const nearest = (parts) => parts.sort((a, b) => Math.abs(a.score - limit) - Math.abs(b.score - limit)).slice(0, NEAREST);
  found.above = nearest([...found.above, ...piece.above]);
  found.below = nearest([...found.below, ...piece.below]);
}

const all = ({ ok, suspect, ng }) => ok + suspect + ng;

// { alarmed, suspect, passed } with a limit that begins at this bin.
export function dividedAt({ bins, unscored }, grid, suspectLimit, tried) {
  const found = { alarmed: unscored.ng, suspect: unscored.suspect, passed: unscored.ok };
  const suspectBin = suspectLimit === null ? Infinity : binOf(grid, suspectLimit);
  for (const [bin, parts] of bins) {
    if (bin >= tried) found.alarmed += all(parts);
    else if (bin > suspectBin) found.suspect += all(parts);
    else if (bin === suspectBin) [found.suspect, found.passed] = [found.suspect + parts.suspect + parts.ng, found.passed + parts.ok];
    else found.passed += all(parts);
  }
  return found;
}

// Parts between the present limit and the one that is tried: { count, parts: nearest first }.
export function flipsAt({ bins, above, below }, grid, tried) {
  const [from, to] = [Math.min(0, tried), Math.max(0, tried)];
  let count = 0;
  for (const [bin, parts] of bins) if (bin >= from && bin < to) count += all(parts);
  const edge = grid.limit + tried * grid.width;
  const parts = tried > 0 ? above.filter(({ score }) => score < edge) : tried < 0 ? below.filter(({ score }) => score >= edge) : [];
  return { count, parts };
}

export const totals = ({ bins }) => new Map([...bins].map(([bin, parts]) => [bin, all(parts)]));

// How many of the calibration's good parts reach a limit: { count, of, isExact }.
export function calibrationAt(calibration, limit) {
  if (!calibration) return null;
  const { good_parts: of, low, width, counts, top } = calibration;
  if (limit > top[top.length - 1] || top.length === of) return { count: top.filter((score) => score >= limit).length, of, isExact: true };
  const count = counts.reduce((sum, n, i) => sum + (low + i * width >= limit ? n : low + (i + 1) * width > limit ? n / 2 : 0), 0);
  return { count: Math.round(count), of, isExact: false };
}

// What people said of the parts of these days: [{ bin, mark }], each person's latest word.
export async function marksOf(slot, grid, { from, to, camera }) {
  const found = [];
  let cursor = null;
  for (let page = 0; page < MARK_PAGES; page += 1) {
    const query = new URLSearchParams({ reviewed: "true", from: from.toISOString(), to: to.toISOString(), limit: 500 });
    if (camera) query.set("camera", camera);
    if (cursor) query.set("cursor", cursor);
    const answer = await read(`${BASE}/parts?${query}`, TIMEOUT_MS);
    for (const part of answer.parts) {
      if (part.score == null || part.bundle_sha256 !== slot.bundle_sha256 || part.precision !== slot.precision) continue;
      found.push(...currentOf(part).map(({ mark }) => ({ bin: binOf(grid, part.score), mark })));
    }
    cursor = answer.next;
    if (cursor === null) break;
  }
  return found;
}
