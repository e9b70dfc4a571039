// The head of every view: device, line and product always in sight, one state, the ways to the other
// views, who is logged in. A view has <header class="top" id="top"></header> and calls showHeader.

import { me, read } from "./api.js";
import { byId, chip, make, pause, write } from "./dom.js";
import { lineState } from "./state.js";
import { keepSteady } from "./steady.js";
import { language, languages, oneOf, setLanguage, t } from "./words.js";

const HEADER_EVERY_MS = 2000;
const LOST_AFTER_MS = 4000;
const KEPT = "cropliq_head"; // what was shown last stands until the device has answered

const icon = new URL("../icon.svg", import.meta.url).href;

export function showHeader() {
  keepSteady();
  const menu = make("button", { type: "button", className: "menu-button", id: "menu-button", "aria-expanded": "false", "aria-controls": "views" }, "☰ ", make("span", {}, t("nav.menu")));
  const list = make("ul", { id: "views" });
  const nav = make("nav", { className: "views", "aria-label": t("nav.views") }, menu, list);
  byId("top").replaceChildren(
    make("a", { className: "brand", href: "/" }, make("img", { src: icon, alt: t("nav.line"), width: 28, height: 28 }), make("h1", { id: "place" })),
    make("p", { className: "product" }, make("span", {}, t("head.product")), " ", make("strong", { id: "product" }, "–")),
    make("p", { className: "chip state-chip", id: "state-chip", dataset: { level: "plain" } }, make("span", { className: "mark", "aria-hidden": "true" }), make("span", { className: "text" }, t("head.asking"))),
    nav,
    make("a", { className: "chip link", id: "who", href: "/login" }, t("who.log_in")),
  );
  menu.addEventListener("click", () => open(nav, menu.getAttribute("aria-expanded") !== "true"));
  nav.addEventListener("keydown", (event) => { if (event.key === "Escape") { open(nav, false); menu.focus(); } });
  document.addEventListener("click", (event) => { if (!nav.contains(event.target)) open(nav, false); });
  put(remembered());
  return showWho();
}

function open(nav, isOpen) {
  nav.classList.toggle("is-open", isOpen);
  byId("menu-button").setAttribute("aria-expanded", String(isOpen));
}

function languageChoice() {
  const choice = make("select", { className: "language", "aria-label": t("head.language") });
  const names = { en: "English", ko: "한국어" };
  choice.replaceChildren(...languages.map((tag) => new Option(names[tag], tag, tag === language, tag === language)));
  choice.addEventListener("change", () => setLanguage(choice.value));
  return choice;
}

// The views that this device serves, in their order; a name has its words under "nav.NAME".
function showViews(views) {
  const list = byId("views");
  const key = JSON.stringify(views);
  if (list.dataset.key === key) return;
  list.dataset.key = key;
  list.replaceChildren(...views.map(({ name, path }) => {
    const isHere = location.pathname === path;
    return make("li", {}, make("a", { href: path, "aria-current": isHere ? "page" : null }, oneOf("nav", name)));
  }), make("li", {}, languageChoice()));
}

function put({ place = null, product = null, views = [{ name: "line", path: "/" }] }) {
  write(byId("place"), place ?? "CropLiq Edge");
  write(byId("product"), product ?? "–");
  showViews(views);
}

function remembered() {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT)) ?? {};
  } catch {
    return {};
  }
}

// Shows what /api/state says; a view that reads it by itself hands it over.
export function updateHeader(state) {
  const { line, device } = state.device ?? {};
  const head = {
    place: line && device ? `${line} · ${device}` : null,
    product: state.product ?? null,
    views: state.views,
  };
  put(head);
  const now = lineState(state);
  chip(byId("state-chip"), now.title, now.level);
  try {
    sessionStorage.setItem(KEPT, JSON.stringify(head));
  } catch {
    // a browser that keeps nothing
  }
}

export const headerLost = () => chip(byId("state-chip"), t("state.no_contact"), "bad");

// For views that do not read /api/state by themselves: never returns.
export async function keepHeader() {
  let heardMs = performance.now();
  for (;;) {
    try {
      updateHeader(await read("/api/state"));
      heardMs = performance.now();
    } catch {
      if (performance.now() - heardMs > LOST_AFTER_MS) headerLost();
    }
    await pause(document.hidden ? 10000 : HEADER_EVERY_MS);
  }
}

// Who is logged in, or the way in.
export async function showWho() {
  const { kind, name, role } = await me(true).catch(() => ({ kind: "" }));
  const isPerson = kind === "person";
  write(byId("who"), isPerson ? t("who.is", { name, role: oneOf("role", role) }) : t("who.log_in"));
  if (!isPerson) byId("who").href = `/login?${new URLSearchParams({ back: location.pathname + location.search })}`;
}
