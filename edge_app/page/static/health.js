// Health: every subject in words, with what to do; what is wrong comes first.

import { BASE, read } from "./lib/api.js";
import { byId, clone, make, pause, write } from "./lib/dom.js";
import { keepHeader, showHeader } from "./lib/nav.js";
import { clockTime, dayTime } from "./lib/times.js";
import { hasWords, oneOf, t } from "./lib/words.js";

const EVERY_MS = 5000;
const RANK = { bad: 0, warn: 1, unknown: 2, good: 3 };

const levelOf = ({ level }) => (level in RANK ? level : "unknown");
const cards = new Map(); // subject → element

// The device's own sentence where this page has no words for its key.
function said(isTodo, key, params, sentence) {
  const code = (key ?? "").replaceAll(".", "_");
  if (isTodo) return hasWords("health_todo", code) ? oneOf("health_todo", code, params) : sentence;
  return hasWords("health_headline", code) ? oneOf("health_headline", code, params) : sentence;
}

function show(subject) {
  const { subject: name, headline, headline_key: key, params, what_to_do: todo, since, details } = subject;
  if (!cards.has(name)) cards.set(name, clone(byId("subject")));
  const card = cards.get(name);
  const level = levelOf(subject);
  card.dataset.level = level;
  write(card.querySelector(".subject-name"), oneOf("health_subject", name));
  write(card.querySelector(".level-word"), oneOf("health_level", level));
  write(card.querySelector(".headline"), said(false, key, params, headline));
  write(card.querySelector(".todo"), todo ? said(true, key, params, todo) : "");
  write(card.querySelector(".since"), since && RANK[level] < 2 ? t("health.since", { at: dayTime(since) }) : "");
  const shown = card.querySelector(".headline").textContent;
  const sentences = (details ?? []).map((one) => said(false, one.key, one.params, one.text)).filter((text) => text !== shown);
  card.querySelector(".details").replaceChildren(...sentences.map((text) => make("li", {}, text)));
  return card;
}

function summary(subjects) {
  const count = (level) => subjects.filter((one) => levelOf(one) === level).length;
  if (count("bad")) return t("health.bad", { count: count("bad") });
  if (count("warn")) return t("health.notes", { count: count("warn") });
  if (count("unknown")) return t("health.unknown", { count: count("unknown") });
  return t("health.good");
}

function showAll(subjects) {
  const sorted = [...subjects].sort((a, b) => RANK[levelOf(a)] - RANK[levelOf(b)]).map(show);
  const list = byId("subjects");
  if (list.children.length !== sorted.length || sorted.some((card, i) => list.children[i] !== card)) list.replaceChildren(...sorted);
  write(byId("summary"), summary(subjects));
  write(byId("as-of"), t("health.as_of", { at: clockTime(new Date()) }));
}

async function keepShowing() {
  for (;;) {
    try {
      const answer = await read(`${BASE}/health`, 8000);
      showAll(answer.subjects ?? answer.health);
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
