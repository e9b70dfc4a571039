// Health: every subject in words, with what to do; what is wrong comes first.

import { BASE, read } from "./lib/api.js";
import { byId, clone, make, pause, write } from "./lib/dom.js";
import { keepHeader, showHeader } from "./lib/nav.js";
import { clockTime, dayTime } from "./lib/times.js";
import { hasWords, oneOf, t } from "./lib/words.js";

const EVERY_MS = 5000;
const RANK = { bad: 0, note: 1, good: 2 };

// The device's levels as this view shows them.
const LEVELS = { ok: "good", good: "good", note: "note", warning: "note", degraded: "note", bad: "bad", error: "bad" };
const levelOf = ({ level }) => LEVELS[level] ?? "note";

const shown = new Map(); // subject → element: an open list of figures stays open

// The device's sentence where this page has no words for its key.
const said = (prefix, key, params, sentence) => (key && hasWords(prefix, key) ? oneOf(prefix, key, params) : sentence ?? "");

function show(subject) {
  const { subject: name, headline, headline_key: key, params, what_to_do: todo, since, details } = subject;
  if (!shown.has(name)) shown.set(name, clone(byId("subject")));
  const card = shown.get(name);
  const level = levelOf(subject);
  const [kind, of] = name.split(/[:/](.*)/s);
  card.dataset.level = level;
  write(card.querySelector(".subject-name"), of ? `${oneOf("health_subject", kind)} ${of}` : oneOf("health_subject", kind));
  write(card.querySelector(".level-word"), oneOf("health_level", level));
  write(card.querySelector(".headline"), said("health_headline", key, params, headline));
  write(card.querySelector(".todo"), said("health_todo", key, params, todo));
  write(card.querySelector(".since"), since ? t("health.since", { at: dayTime(since) }) : "");
  const figures = Object.entries(details ?? {}).filter(([, value]) => value != null && value !== "");
  card.querySelector("details").hidden = figures.length === 0;
  card.querySelector("dl").replaceChildren(...figures.map(([label, value]) => make("div", {}, make("dt", {}, oneOf("health_detail", label)), make("dd", {}, typeof value === "object" ? JSON.stringify(value) : String(value)))));
  return card;
}

function showAll(subjects) {
  const sorted = [...subjects].sort((a, b) => RANK[levelOf(a)] - RANK[levelOf(b)]);
  const cards = sorted.map(show);
  if (cards.some((card, i) => byId("subjects").children[i] !== card) || byId("subjects").children.length !== cards.length) byId("subjects").replaceChildren(...cards);
  const [bad, notes] = ["bad", "note"].map((level) => subjects.filter((one) => levelOf(one) === level).length);
  write(byId("summary"), bad ? t("health.bad", { count: bad }) : notes ? t("health.notes", { count: notes }) : t("health.good"));
  write(byId("as-of"), t("health.as_of", { at: clockTime(new Date()) }));
}

async function keepShowing() {
  for (;;) {
    try {
      showAll((await read(`${BASE}/health`, 8000)).subjects);
      byId("lost").hidden = true;
    } catch (error) {
      byId("lost").hidden = false;
      write(byId("lost"), error.detail || (error.status ? error.message : t("health.silent")));
    }
    await pause(document.hidden ? 30000 : EVERY_MS);
  }
}

showHeader();
keepHeader();
keepShowing();
