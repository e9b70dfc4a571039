// Limit: what another limit would have made of past days, and the change itself.

import { BASE, may, read, send } from "./lib/api.js";
import { byId, make, tell, write } from "./lib/dom.js";
import { keepHeader, showHeader } from "./lib/nav.js";
import { figure, number } from "./lib/share.js";
import { dayTime } from "./lib/times.js";
import { oneOf, t } from "./lib/words.js";
import { drawChart } from "./limit/chart.js";
import { forgetProposal, proposal, propose, startTighten } from "./limit/tighten.js";
import { binOf, calibrationAt, countScores, dividedAt, flipsAt, gridOf, marksOf, scoreAt, totals } from "./limit/counts.js";

const DAYS = ["today", "yesterday", "7", "31"];
const MOST_FLIPS = 24;
const DAY_MS = 86400e3;

let slots = [];
let slot = null;
let grid = null;
let found = null;
let marks = [];
let turn = 0;
let isEngineer = false;

const tried = () => Number(byId("slider").value);
const percent = (share) => `${number(100 * share, share < 0.1 ? 2 : 1)} %`;

function span() {
  const now = new Date();
  const day = (back) => new Date(now.getFullYear(), now.getMonth(), now.getDate() - back);
  const value = byId("days").value;
  if (value === "yesterday") return { from: day(1), to: day(0) };
  if (value === "today") return { from: day(0), to: now };
  return { from: new Date(now - Number(value) * DAY_MS), to: now };
}

async function askLimits() {
  const answer = await read(`${BASE}/limits`, 8000);
  slots = answer.limits;
  const before = slot?.slot ?? new URLSearchParams(location.search).get("slot");
  slot = slots.find((one) => one.slot === before) ?? slots[0] ?? null;
  byId("slot").replaceChildren(...slots.map((one) => new Option(`${one.slot} · ${one.product}`, one.slot)));
  byId("slot-field").hidden = slots.length < 2;
  if (!slot) throw Object.assign(new Error(), { detail: t("limit.no_slot") });
  byId("slot").value = slot.slot;
}

async function restart() {
  turn += 1;
  const mine = turn;
  const isWanted = () => mine === turn;
  tell(byId("trouble"), "");
  try {
    await askLimits();
    if (!isWanted()) return;
    begin();
    const asked = { ...span(), camera: byId("camera").value };
    const reading = marksOf(slot, grid, asked).catch(() => []);
    await countScores(slot, grid, asked, isWanted, (all) => { found = all; show(); });
    marks = await reading;
    if (isWanted()) show();
  } catch (error) {
    if (isWanted()) tell(byId("trouble"), error.detail || (error.status ? error.message : t("limit.silent")), "bad");
  }
}

function begin() {
  grid = gridOf(slot);
  forgetProposal();
  [found, marks] = [null, []];
  const slider = byId("slider");
  [slider.min, slider.max, slider.value] = [-grid.below, grid.above, 0];
  byId("main").hidden = false;
  write(byId("judging"), t("limit.judging", { product: slot.product, serial: slot.serial, precision: slot.precision, limit: figure(slot.score_threshold), id: slot.threshold_id }));
  write(byId("counting"), t("limit.counting", { count: 0 }));
}

// Showing

function show() {
  if (!found) return;
  const at = tried();
  const suspect = slot.suspect_threshold === null ? null : binOf(grid, slot.suspect_threshold);
  drawChart(byId("chart"), { ...grid, counts: totals(found), suspect: suspect === null || suspect >= at ? null : suspect, tried: at, calibration: slot.calibration, marks });
  const [now, then] = [dividedAt(found, grid, slot.suspect_threshold, 0), dividedAt(found, grid, slot.suspect_threshold, at)];
  const count = now.alarmed + now.suspect + now.passed;
  write(byId("counting"), counted(count));
  for (const name of ["missed", "false_alarm", "right"]) document.querySelector(`.key.${name}`).hidden = !marks.some(({ mark }) => mark === name);
  showCounts(now, then, count);
  showNominal(at);
  showFlips(at);
  showChange(at, then);
}

function counted(count) {
  const words = [t(found.isWhole ? "limit.counted" : "limit.counting", { count: number(count) })];
  if (found.unscored.not_inspected) words.push(t("limit.not_inspected", { count: number(found.unscored.not_inspected) }));
  if (found.others) words.push(t("limit.others", { count: number(found.others) }));
  return words.join(" ");
}

function showCounts(now, then, count) {
  byId("counts").replaceChildren(...["alarmed", "suspect", "passed"].map((name) => {
    const cell = (value) => make("td", {}, make("strong", {}, number(value)), ` ${count ? percent(value / count) : ""}`);
    return make("tr", { className: name }, make("th", { scope: "row" }, oneOf("limit_count", name)), cell(now[name]), cell(then[name]));
  }));
}

function showNominal(at) {
  const reached = calibrationAt(slot.calibration, scoreAt(grid, at));
  if (!reached) return write(byId("nominal"), t("limit.no_calibration"));
  const { count, of, isExact } = reached;
  const values = { count: number(count), of: number(of), n: number(of + 1), rate: percent(Math.max(1, count) / (of + 1)) };
  const kind = count === 0 ? "none" : isExact ? "exact" : "about";
  write(byId("nominal"), t(`limit_nominal.${kind}`, values));
}

function showFlips(at) {
  const { count, parts } = flipsAt(found, grid, at);
  const shown = parts.slice(0, MOST_FLIPS);
  const isRaised = at > 0;
  write(byId("flips-title"), at === 0 ? t("limit.flips_none_yet") : t(isRaised ? "limit.flips_pass" : "limit.flips_alarm", { count: number(count) }));
  write(byId("flips-note"), count > shown.length && shown.length ? t("limit.flips_nearest", { count: shown.length }) : at === 0 ? t("limit.flips_hint") : "");
  const key = shown.map(({ id }) => id).join();
  if (byId("flips").dataset.key === key) return;
  byId("flips").dataset.key = key;
  byId("flips").replaceChildren(...shown.map(flip));
}

function flip({ id, part_id: partId, score, has_picture: hasPicture }) {
  const none = make("span", { className: "soft" }, t("limit.no_picture"));
  const image = hasPicture ? make("img", { alt: "", loading: "lazy", src: `${BASE}/parts/${id}/thumbnail.jpg?side=320`, onerror: () => image.replaceWith(none) }) : null;
  const words = grid.limit > 0 ? t("limit.share", { share: number((100 * score) / grid.limit, 1) }) : figure(score);
  return make("li", {}, make("a", { href: `/part?id=${id}` }, make("span", { className: "flip-picture" }, image ?? none), make("strong", {}, words), make("span", { className: "soft" }, partId)));
}

function showChange(at, then) {
  const score = scoreAt(grid, at);
  const share = grid.limit > 0 ? t("limit.share_present", { share: number((100 * score) / grid.limit, 1) }) : "";
  const isLost = score <= slot.suspect_threshold;
  write(byId("effect-title"), at === 0 ? t("limit.as_is", { limit: figure(score) }) : t("limit.would_be", { limit: figure(score), share }));
  byId("slider").setAttribute("aria-valuetext", `${figure(score)} ${share}. ${oneOf("limit_count", "alarmed")}: ${number(then.alarmed)}`);
  write(byId("suspect-note"), slot.suspect_threshold === null ? t("limit.no_suspect") : t(isLost ? "limit.suspect_lost" : "limit.suspect_stays", { limit: figure(slot.suspect_threshold) }));
  write(byId("apply"), at === 0 ? t("limit.move_first") : t("limit.apply", { limit: figure(score) }));
  byId("apply").disabled = at === 0;
  write(byId("undo"), slot.steps ? t("limit.undo", { count: slot.steps }) : t("limit.nothing_to_undo"));
  byId("undo").disabled = slot.steps === 0;
}

// Changing

async function change(path, body) {
  const why = byId("why");
  if (!why.reportValidity()) return;
  for (const id of ["apply", "undo"]) byId(id).disabled = true;
  const answer = await send("POST", `${BASE}/limits/${encodeURIComponent(slot.slot)}${path}`, { ...body, why: why.value.trim() });
  if (!answer.isOk) {
    tell(byId("outcome"), answer.body.detail, "bad");
    return show();
  }
  why.value = "";
  tell(byId("outcome"), answer.body.audit_seq == null ? answer.body.text : t("limit.done", { text: answer.body.text, seq: answer.body.audit_seq }), "good");
  await restart();
}

byId("change").addEventListener("submit", (event) => {
  event.preventDefault();
  change("", { score_threshold: scoreAt(grid, tried()), for_sha256: slot.bundle_sha256 });
});
startTighten(() => propose(slot, span()), async () => {
  const shown = proposal();
  if (!shown) return;
  await change("", shown);
  byId("outcome").scrollIntoView({ block: "nearest" });
});
byId("undo").addEventListener("click", () => change("/undo", {}));
byId("slider").addEventListener("input", show);
for (const id of ["days", "camera"]) byId(id).addEventListener("change", restart);
byId("slot").addEventListener("change", () => { slot = slots.find((one) => one.slot === byId("slot").value); restart(); });
byId("asked").addEventListener("submit", (event) => event.preventDefault());
new ResizeObserver(() => show()).observe(byId("chart"));

async function start() {
  showHeader();
  keepHeader();
  byId("days").replaceChildren(...DAYS.map((code) => new Option(oneOf("limit_days", code), code)));
  byId("days").value = "7";
  byId("legend").replaceChildren(...["ok", "suspect", "ng", "calibration", "missed", "false_alarm", "right"].map((name) => make("li", { className: `key ${name}` }, oneOf("limit_key", name))));
  byId("log-in").href = `/login?${new URLSearchParams({ back: location.pathname + location.search })}`;
  const { cameras } = await read(`${BASE}/parts/choices`).catch(() => ({ cameras: [] }));
  byId("camera").replaceChildren(new Option(t("limit.every_camera"), ""), ...cameras.map((name) => new Option(name)));
  byId("camera-field").hidden = cameras.length < 2;
  isEngineer = await may("engineer");
  byId("read-only").hidden = isEngineer;
  for (const id of ["why-field", "apply", "undo"]) byId(id).hidden = !isEngineer;
  await restart();
}

start();
