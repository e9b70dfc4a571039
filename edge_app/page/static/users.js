// People and tokens, for engineers. The device decides; what it refuses is shown in its own words.

import { me, send, showWho, tell } from "./people.js";

const ROLES = ["viewer", "operator", "engineer"];
const byId = (id) => document.getElementById(id);
const outcome = byId("outcome");

const day = (text) => (text ? text.slice(0, 10) : "");
const at = (kind, name, more = "") => `/api/v1/${kind}/${encodeURIComponent(name)}${more}`;

// A second press within five seconds does it: no dialog covers the page.
function button(text, work, isGrave = false) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.addEventListener("click", () => {
    if (isGrave && made.textContent === text) {
      made.textContent = "Really?";
      setTimeout(() => { made.textContent = text; }, 5000);
      return;
    }
    made.textContent = text;
    work();
  });
  return made;
}

function row(name, about, actions) {
  const card = byId("row-template").content.firstElementChild.cloneNode(true);
  card.dataset.name = name;
  card.querySelector("strong").textContent = name;
  card.querySelector(".about").textContent = about;
  card.querySelector(".actions").replaceChildren(...actions);
  return card;
}

function roleChoice({ name, role }) {
  const choice = document.createElement("select");
  choice.setAttribute("aria-label", `Role of ${name}`);
  choice.replaceChildren(...ROLES.map((word) => new Option(word, word, word === role, word === role)));
  choice.addEventListener("change", () => change("PATCH", at("users", name), { role: choice.value }, `${name} is ${choice.value} now.`));
  return choice;
}

function userRow(user) {
  const { name, has_password: hasPassword, made_at: made } = user;
  const about = hasPassword ? `since ${day(made)}` : "has not chosen a password yet";
  const reset = button("New code", () => secret("POST", at("users", name, "/reset"), undefined, `Code for ${name}, once, for a day`));
  const remove = button("Remove", () => change("DELETE", at("users", name), undefined, `${name} is removed.`), true);
  return row(name, about, [roleChoice(user), reset, remove]);
}

function tokenRow({ name, scope, expires_at: expires, is_expired: isExpired, made_by: by }) {
  const about = `${scope}, ${isExpired ? "expired" : "until"} ${day(expires)}, made by ${by}`;
  const revoke = button("Revoke", () => change("DELETE", at("tokens", name), undefined, `The token ${name} is revoked.`), true);
  return row(name, about, [revoke]);
}

async function refresh() {
  const [users, tokens] = await Promise.all([send("GET", "/api/v1/users"), send("GET", "/api/v1/tokens")]);
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
    byId("made-text").textContent = `${text}. It is shown now and never again:`;
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
  if (await secret("POST", "/api/v1/users", { name, role }, `Code with which ${name} chooses a password, once, for a day`)) event.target.reset();
});

byId("add-token").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { name, scope, days } = Object.fromEntries(new FormData(event.target));
  if (await secret("POST", "/api/v1/tokens", { name, scope, days: Number(days) }, `Token of ${name}`)) event.target.reset();
});

showWho();
refresh();
