// Parts: filtered, with small pictures, page by page as the reader scrolls.

import { BASE, read } from "./lib/api.js";
import { nameOf } from "./lib/describe.js";
import { byId, clone, make, write } from "./lib/dom.js";
import { keepHeader, showHeader } from "./lib/nav.js";
import { shareText } from "./lib/share.js";
import { clockTime, dayTime } from "./lib/times.js";
import { oneOf, t } from "./lib/words.js";
import { KEPT_FOR, NAMES, REVIEWS, TIMES, VERDICTS, addressOf, apiQuery, countOf, currentOf, isDisputed, keepList, verdictOf, wantedOf } from "./parts/query.js";

const PAGE = 60;
const TIMEOUT_MS = 15000;
const RETRY_PICTURE_MS = 2000;
const TYPED_MS = 400;

const form = byId("filters");
let wanted = wantedOf(location.search);
let ids = [];
let next = null;
let turn = 0; // answers to an older question are dropped
let isAsking = false;
let isDone = false;

function choose(select, values, textOf, value) {
  select.replaceChildren(...values.map((one) => new Option(textOf(one), one === "all" ? "" : one)));
  if (value && !values.includes(value)) select.append(new Option(value, value));
  select.value = value === "all" ? "" : value;
}

function fillForm() {
  choose(byId("time"), TIMES, (code) => oneOf("parts_time", code), wanted.time);
  choose(byId("verdict"), VERDICTS, (code) => oneOf("parts_verdict", code), wanted.verdict);
  choose(byId("review"), REVIEWS, (code) => oneOf("parts_review", code), wanted.review);
  choose(byId("kept"), KEPT_FOR, (code) => oneOf("part_kept", code), wanted.kept);
  choose(byId("class"), ["all"], () => t("parts_verdict.all"), wanted.class);
  choose(byId("camera"), ["all"], () => t("parts_verdict.all"), wanted.camera);
  for (const name of ["from", "to", "serial"]) form.elements[name].value = wanted[name];
  showForm();
}

async function fillChoices() {
  const { cameras, classes } = await read(`${BASE}/parts/choices`, TIMEOUT_MS).catch(() => ({ cameras: [], classes: [] }));
  const textOf = (one) => (one === "all" ? t("parts_verdict.all") : one.replaceAll("_", " "));
  choose(byId("class"), ["all", ...classes], textOf, wanted.class);
  choose(byId("camera"), ["all", ...cameras], textOf, wanted.camera);
  byId("camera").closest("label").hidden = cameras.length < 2 && !wanted.camera;
}

function showForm() {
  form.classList.toggle("has-own-time", wanted.time === "own");
  const count = countOf(wanted);
  write(byId("filter-count"), count ? `(${count})` : "");
}

function card(part) {
  const item = clone(byId("card"));
  const link = item.querySelector(".card");
  const verdict = verdictOf(part);
  link.href = `/part?${new URLSearchParams([["id", part.id], ...new URLSearchParams(addressOf(wanted))])}`;
  link.dataset.verdict = verdict;
  item.querySelector(".verdict-sign").dataset.verdict = verdict;
  write(item.querySelector(".card-verdict"), oneOf("verdict", verdict));
  write(item.querySelector(".card-share"), part.score == null ? "" : shareText(part.score, part.threshold));
  write(item.querySelector("time"), isToday(part.captured_at) ? clockTime(part.captured_at) : dayTime(part.captured_at));
  item.querySelector("time").dateTime = part.captured_at;
  item.querySelector("time").title = dayTime(part.captured_at);
  write(item.querySelector(".card-part"), nameOf(part));
  item.querySelector(".card-marks").replaceChildren(...marks(part));
  picture(item, part);
  return item;
}

const isToday = (text) => new Date(text).toDateString() === new Date().toDateString();

function marks(part) {
  const found = currentOf(part).map(({ mark }) => make("span", { className: "mark-chip", dataset: { mark } }, oneOf("part_mark", mark)));
  if (isDisputed(part)) found.push(make("span", { className: "mark-chip", dataset: { mark: "disputed" } }, t("parts.disputed")));
  return found;
}

function picture(item, part) {
  const image = item.querySelector("img");
  const none = item.querySelector(".no-picture");
  if (!part.evidence_url) return write(none, t("parts.no_picture"));
  const address = `${BASE}/parts/${part.id}/thumbnail.jpg`;
  let tries = 0;
  image.hidden = false;
  image.addEventListener("error", () => {
    tries += 1;
    if (tries < 3) return setTimeout(() => { image.src = `${address}?side=320#${tries}`; }, RETRY_PICTURE_MS * tries);
    image.hidden = true;
    write(none, t("parts.no_picture"));
  });
  image.src = `${address}?side=320`;
}

async function more() {
  if (isAsking || isDone) return;
  isAsking = true;
  const mine = turn;
  write(byId("tail"), t("parts.asking"));
  byId("again").hidden = true;
  try {
    const page = await read(`${BASE}/parts?${await apiQuery(wanted, PAGE, next)}`, TIMEOUT_MS);
    if (mine !== turn) return;
    byId("cards").append(...page.parts.map(card));
    ids.push(...page.parts.map((part) => part.id));
    next = page.next;
    isDone = next === null;
    keepList(addressOf(wanted), ids, next);
    tail();
  } catch (error) {
    if (mine !== turn) return;
    write(byId("tail"), error.detail || (error.status ? error.message : t("parts.silent")));
    byId("again").hidden = false;
    return;
  } finally {
    if (mine === turn) isAsking = false;
  }
  if (isNear()) await more();
}

function tail() {
  if (ids.length === 0) return write(byId("tail"), countOf(wanted) ? t("parts.none_such") : t("parts.none"));
  write(byId("tail"), isDone ? t("parts.all_shown", { count: ids.length }) : t("parts.shown", { count: ids.length }));
}

const isNear = () => byId("end").getBoundingClientRect().top < innerHeight + 800;

function restart() {
  turn += 1;
  [ids, next, isAsking, isDone] = [[], null, false, false];
  byId("cards").replaceChildren();
  showForm();
  const address = addressOf(wanted);
  history.replaceState(null, "", address ? `?${address}` : location.pathname);
  return more();
}

let typed = null;
form.addEventListener("input", (event) => {
  const data = new FormData(form);
  wanted = Object.fromEntries(NAMES.map((name) => [name, String(data.get(name) ?? "")]));
  clearTimeout(typed);
  showForm();
  if (event.target.tagName === "SELECT") restart();
  else typed = setTimeout(restart, TYPED_MS);
});
form.addEventListener("submit", (event) => { event.preventDefault(); restart(); });
form.addEventListener("reset", (event) => {
  event.preventDefault();
  wanted = wantedOf("");
  fillForm();
  fillChoices();
  restart();
});
byId("filter-toggle").addEventListener("click", () => {
  const isOpen = form.classList.toggle("is-open");
  byId("filter-toggle").setAttribute("aria-expanded", String(isOpen));
});
byId("again").addEventListener("click", more);
new IntersectionObserver((seen) => { if (seen.some((entry) => entry.isIntersecting)) more(); }, { rootMargin: "800px" }).observe(byId("end"));

// j, k and the arrows walk over the cards; Enter opens, as with every link.
document.addEventListener("keydown", (event) => {
  if (event.target.closest("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
  const step = { j: 1, ArrowRight: 1, k: -1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  const links = [...document.querySelectorAll(".card")];
  const here = links.indexOf(document.activeElement);
  links[Math.max(0, Math.min(links.length - 1, here + step))]?.focus();
  event.preventDefault();
});

showHeader();
keepHeader();
fillForm();
fillChoices();
more();
