// What the page says, in the language of the browser or of `?lang=`. A text has one key in every
// language file (words/LANGUAGE.json, and words/VIEW.LANGUAGE.json for a view that names itself in
// <html data-words="VIEW">); tests/edge_app/page/test_words.py holds them against each other.
//
// t("key", { count: 3 }) fills {count}. oneOf("prefix", code) is for codes: prefix.code.
// In HTML: data-w="key" for the text, data-w-label for aria-label, data-w-title, data-w-hint for a
// placeholder; the HTML itself carries the English text.

import { ask } from "./ask.js";

const KNOWN = ["en", "ko"];
const STORED = "cropliq_language";

function stored() {
  try {
    return localStorage.getItem(STORED);
  } catch {
    return null; // a browser that keeps nothing
  }
}

function chosen() {
  const asked = new URLSearchParams(location.search).get("lang");
  const wanted = [asked, stored(), ...(navigator.languages ?? [navigator.language])];
  return wanted.map((tag) => (tag ?? "").slice(0, 2)).find((tag) => KNOWN.includes(tag)) ?? "en";
}

export const language = chosen();
export const languages = KNOWN;

async function file(name) {
  try {
    const answer = await ask(new URL(`../words/${name}.json`, import.meta.url), { signal: AbortSignal.timeout(8000) });
    return answer.ok ? await answer.json() : {};
  } catch {
    return {};
  }
}

async function load() {
  const view = document.documentElement.dataset.words;
  const names = [language, ...(view ? [`${view}.${language}`] : [])];
  return Object.assign({}, ...(await Promise.all(names.map(file))));
}

const texts = await load();

export function t(key, values = {}) {
  const text = texts[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name] ?? "–") : whole));
}

// A code that has no words of its own is shown with spaces, never hidden.
export function oneOf(prefix, code, values = {}) {
  const key = `${prefix}.${code}`;
  return key in texts ? t(key, values) : String(code ?? "").replaceAll("_", " ");
}

export const hasWords = (prefix, code) => `${prefix}.${code}` in texts;

export function setLanguage(tag) {
  try {
    localStorage.setItem(STORED, tag);
  } catch {
    // shown until the page is opened again
  }
  const address = new URL(location.href);
  address.searchParams.delete("lang");
  if (stored() !== tag) address.searchParams.set("lang", tag);
  location.replace(address);
}

const PLACES = { w: "textContent", wLabel: "aria-label", wTitle: "title", wHint: "placeholder" };

export function translate(root = document) {
  for (const element of root.querySelectorAll("[data-w], [data-w-label], [data-w-title], [data-w-hint]")) {
    for (const [name, place] of Object.entries(PLACES)) {
      const key = element.dataset[name];
      if (!key || !(key in texts)) continue;
      if (place === "textContent") element.textContent = t(key);
      else element.setAttribute(place, t(key));
    }
  }
}

document.documentElement.lang = language;
translate();
for (const template of document.querySelectorAll("template")) translate(template.content);
