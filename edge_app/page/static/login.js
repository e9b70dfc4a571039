// Logging in and out, passwords, and letting a screen in. The device's own sentences are shown as
// they are. `?back=` is where who logs in came from, `?why=` what they were about to do.

import { BASE, forget, me, send } from "./lib/api.js";
import { byId, tell, write } from "./lib/dom.js";
import { keepSteady } from "./lib/steady.js";
import { oneOf, t } from "./lib/words.js";

const outcome = byId("outcome");
const query = new URLSearchParams(location.search);
const back = backOf(query.get("back"));

// Only an address of this device: never another site's.
function backOf(asked) {
  if (!asked) return null;
  const address = new URL(asked, location.origin);
  return address.origin === location.origin && asked.startsWith("/") ? address.pathname + address.search + address.hash : null;
}

if (back) byId("back").href = back;
const why = { settle: t("login.why_settle"), pause: t("login.why_pause"), golden: t("login.why_golden") }[query.get("why")];
if (why) {
  write(byId("why"), why);
  byId("why").hidden = false;
}

function show({ kind, name, role, has_engineer: hasEngineer }) {
  const isKnown = kind === "person";
  byId("known").hidden = !isKnown;
  byId("stranger").hidden = isKnown;
  write(byId("known-title"), t("login.is_in", { name, role: oneOf("role", role) }));
  byId("to-users").hidden = role !== "engineer";
  byId("code-part").open = !isKnown && hasEngineer === false;
}

// A form sends once at a time, and forgets its passwords when it worked.
function onSubmit(id, work, done) {
  const form = byId(id);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    if (button.disabled) return;
    const data = Object.fromEntries(new FormData(form));
    if (data.again !== undefined && data.again !== (data.new ?? data.password)) {
      tell(outcome, t("login.differ"), "bad");
      return;
    }
    delete data.again;
    button.disabled = true;
    tell(outcome, "");
    const { isOk, body } = await work(data);
    button.disabled = false;
    if (!isOk) {
      tell(outcome, body.detail, "bad");
      return;
    }
    form.reset();
    done(body);
  });
}

function isIn(body) {
  forget(body);
  if (back) location.assign(back);
  else show(body);
}

onSubmit("login-form", (data) => send("POST", `${BASE}/session`, data), isIn);
onSubmit("code-form", (data) => send("POST", `${BASE}/session/code`, data), isIn);
onSubmit("password-form", (data) => send("POST", `${BASE}/me/password`, data), (body) => {
  forget(body);
  show(body);
  tell(outcome, t("login.changed"), "good");
});
onSubmit("pair-form", (data) => send("POST", `${BASE}/session/screen`, data), () => location.assign("/"));

byId("log-out").addEventListener("click", async () => {
  const { isOk, body } = await send("DELETE", `${BASE}/session`);
  tell(outcome, isOk ? t("login.is_out") : body.detail, isOk ? "good" : "bad");
  show(await me(true));
});

// Opened by the code that the engineer's page shows: the code is used up and taken out of the address.
const scanned = new URLSearchParams(location.hash.slice(1)).get("pair");
if (scanned) {
  history.replaceState(null, "", location.pathname);
  byId("pair-part").open = true;
  byId("pair-form").elements.code.value = scanned;
  byId("pair-form").requestSubmit();
}

keepSteady();
me(true).then(show, () => tell(outcome, t("refused.no_answer"), "bad"));
