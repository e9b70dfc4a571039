// People and tokens, for engineers. The device decides; what it refuses is shown in its own words.

import { BASE, me, send } from "./lib/api.js";
import { byId, clone, make, pause, tell, write } from "./lib/dom.js";
import { keepHeader, showHeader, showWho } from "./lib/nav.js";
import { drawQr } from "./lib/qr.js";
import { oneOf, t } from "./lib/words.js";

const ROLES = ["viewer", "operator", "engineer"];
const outcome = byId("outcome");

const day = (text) => (text ? text.slice(0, 10) : "");
const at = (kind, name, more = "") => `${BASE}/${kind}/${encodeURIComponent(name)}${more}`;

// A second press within five seconds does it: no dialog covers the page.
function button(text, work, isGrave = false) {
  const made = make("button", { type: "button" }, text);
  made.addEventListener("click", () => {
    if (isGrave && made.textContent === text) {
      made.textContent = t("users.really");
      setTimeout(() => { made.textContent = text; }, 5000);
      return;
    }
    made.textContent = text;
    work();
  });
  return made;
}

function row(name, about, actions) {
  const card = clone(byId("row-template"));
  card.dataset.name = name;
  card.querySelector("strong").textContent = name;
  card.querySelector(".about").textContent = about;
  card.querySelector(".actions").replaceChildren(...actions);
  return card;
}

function roleChoice({ name, role }) {
  const choice = document.createElement("select");
  choice.setAttribute("aria-label", t("users.role_of", { name }));
  choice.replaceChildren(...ROLES.map((word) => new Option(oneOf("role", word), word, word === role, word === role)));
  choice.addEventListener("change", () => change("PATCH", at("users", name), { role: choice.value }, t("users.is_now", { name, role: oneOf("role", choice.value) })));
  return choice;
}

function userRow(user) {
  const { name, has_password: hasPassword, made_at: made } = user;
  const about = hasPassword ? t("users.since", { day: day(made) }) : t("users.no_password");
  const reset = button(t("users.new_code"), () => secret("POST", at("users", name, "/reset"), undefined, t("users.code_for", { name })));
  const remove = button(t("users.remove"), () => change("DELETE", at("users", name), undefined, t("users.removed", { name })), true);
  return row(name, about, [roleChoice(user), reset, remove]);
}

function tokenRow({ name, scope, expires_at: expires, is_expired: isExpired, made_by: by }) {
  const about = t(isExpired ? "users.token_expired" : "users.token_until", { scope: oneOf("role", scope), day: day(expires), by });
  const revoke = button(t("users.revoke"), () => change("DELETE", at("tokens", name), undefined, t("users.revoked", { name })), true);
  return row(name, about, [revoke]);
}

async function refresh() {
  const [users, tokens] = await Promise.all([send("GET", `${BASE}/users`), send("GET", `${BASE}/tokens`)]);
  if (!users.isOk || !tokens.isOk) {
    tell(outcome, (users.isOk ? tokens : users).body.detail, "bad");
    byId("lists").hidden = true;
    return;
  }
  byId("lists").hidden = false;
  byId("users").replaceChildren(...users.body.users.map(userRow));
  byId("tokens").replaceChildren(...tokens.body.tokens.map(tokenRow));
}

async function change(method, address, data, done) {
  const { isOk, body } = await send(method, address, data);
  tell(outcome, isOk ? done : body.detail, isOk ? "good" : "bad");
  if (isOk) await me(true);
  await refresh();
  return isOk;
}

async function secret(method, address, data, text) {
  const { isOk, body } = await send(method, address, data);
  if (isOk) {
    byId("made-text").textContent = t("users.shown_once", { what: text });
    byId("made-secret").textContent = body.code ?? body.token;
    tell(outcome, "", "plain");
  } else {
    tell(outcome, body.detail, "bad");
  }
  byId("made").hidden = !isOk;
  await refresh();
  return isOk;
}

byId("made-done").addEventListener("click", () => {
  byId("made").hidden = true;
  byId("made-secret").textContent = "";
});

byId("add-user").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { name, role } = Object.fromEntries(new FormData(event.target));
  if (await secret("POST", `${BASE}/users`, { name, role }, t("users.first_code", { name }))) event.target.reset();
});

byId("add-token").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { name, scope, days } = Object.fromEntries(new FormData(event.target));
  if (await secret("POST", `${BASE}/tokens`, { name, scope, days: Number(days) }, t("users.token_of", { name }))) event.target.reset();
});

let pairUntilMs = 0;

byId("pair").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { name } = Object.fromEntries(new FormData(event.target));
  if (["localhost", "127.0.0.1", "[::1]"].includes(location.hostname)) {
    tell(outcome, t("pair.loopback", { host: location.hostname }), "bad");
    return;
  }
  const { isOk, body } = await send("POST", `${BASE}/pairing`, { name });
  tell(outcome, isOk ? "" : body.detail, isOk ? "plain" : "bad");
  byId("pairing").hidden = !isOk;
  if (!isOk) return;
  const address = `${location.origin}/login`;
  write(byId("pair-code"), body.code);
  write(byId("pair-address"), address);
  byId("pair-qr").replaceChildren(drawQr(`${address}#pair=${body.code}`, t("pair.qr")));
  pairUntilMs = performance.now() + 1000 * body.valid_s;
});

async function countDown() {
  for (;;) {
    const left = Math.ceil((pairUntilMs - performance.now()) / 1000);
    if (!byId("pairing").hidden) {
      if (left <= 0) {
        byId("pairing").hidden = true;
        byId("pair-qr").replaceChildren();
        tell(outcome, t("pair.over"), "plain");
        await refresh();
      }
      write(byId("pair-left"), t("pair.left", { s: left }));
    }
    await pause(1000);
  }
}

showHeader();
keepHeader();
countDown();
refresh();
