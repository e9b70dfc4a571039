// The control that changes a slot over to another installed product. It asks the device and shows the
// device's own words; what judges is said at the top of the page by the line itself.

import { csrfHeaders, me } from "./lib/api.js";
import { ask } from "./lib/ask.js";
import { byId, clone, tell as put } from "./lib/dom.js";
import { t } from "./lib/words.js";

const REFRESH_MS = 5000;
const LIST_TIMEOUT_MS = 8000;
const SELECT_TIMEOUT_MS = 70000; // the device itself gives up after 60 s, with a sentence

const panel = byId("changeover");
const list = byId("slots");
const outcome = byId("outcome");
const template = byId("slot-template");
let shown = "";
let isBusy = false;

export function offerChangeover(isOffered) {
  panel.hidden = !isOffered;
}

const tell = (text, level) => put(outcome, text, level);

async function answerTo(address, options, timeoutMs) {
  const answer = await ask(address, { ...options, signal: AbortSignal.timeout(timeoutMs) });
  const body = await answer.json().catch(() => ({ text: t("refused.status", { status: answer.status }) }));
  return { isOk: answer.ok, body };
}

function form({ slot, active, products }, hasMany) {
  const card = clone(template);
  const choice = card.querySelector("select");
  const now = active == null ? t("change.nothing") : t("change.judges", { product: active });
  card.querySelector(".slot-now").textContent = hasMany ? t("change.slot", { slot, now }) : now;
  choice.replaceChildren(...products.map(({ product, serial }) => new Option(t("change.option", { product, serial }), product)));
  choice.value = products.find(({ product }) => product !== active)?.product ?? active;
  card.querySelector("button").disabled = products.every(({ product }) => product === active);
  card.addEventListener("submit", (event) => {
    event.preventDefault();
    change(slot, choice.value);
  });
  return card;
}

// A list that has not changed is left alone: a choice that a person is making stays open.
function show(slots) {
  const key = JSON.stringify(slots);
  if (key === shown) return;
  shown = key;
  list.replaceChildren(...slots.map((slot) => form(slot, slots.length > 1)));
}

async function refresh() {
  if (panel.hidden || !panel.open || isBusy) return;
  try {
    const { isOk, body } = await answerTo("/api/slots", {}, LIST_TIMEOUT_MS);
    if (isOk) show(body.slots);
    else tell(body.text, "bad");
  } catch {
    tell(t("change.unknown"), "bad");
  }
}

async function change(slot, product) {
  if (isBusy) return;
  isBusy = true;
  panel.classList.add("is-busy");
  tell(t("change.under_way", { product }), "plain");
  const body = JSON.stringify({ slot, product });
  try {
    const { kind } = await me(true);
    if (kind !== "person") {
      end(t("change.log_in"), "bad");
      return;
    }
    const headers = { "Content-Type": "application/json", ...(await csrfHeaders()) };
    const options = { method: "POST", headers, body };
    const answer = await answerTo("/api/select", options, SELECT_TIMEOUT_MS);
    end(answer.body.text, answer.isOk ? "good" : "bad");
  } catch {
    end(t("change.no_answer"), "bad");
  }
  await refresh();
}

function end(text, level) {
  tell(text, level);
  isBusy = false;
  panel.classList.remove("is-busy");
}

panel.addEventListener("toggle", refresh);
setInterval(refresh, REFRESH_MS);
