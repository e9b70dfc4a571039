// Logging in and out, and passwords. The device's own sentences are shown as they are.

import { forget, me, send, tell } from "./people.js";

const byId = (id) => document.getElementById(id);
const outcome = byId("outcome");

function show({ kind, name, role, has_engineer: hasEngineer }) {
  const isKnown = kind === "person";
  byId("known").hidden = !isKnown;
  byId("stranger").hidden = isKnown;
  byId("known-title").textContent = `${name} is logged in: ${role}`;
  byId("to-users").hidden = role !== "engineer";
  byId("code-part").open = !isKnown && hasEngineer === false;
}

// A form sends once at a time, and forgets its passwords when it worked.
function onSubmit(id, work) {
  const form = byId(id);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    if (button.disabled) return;
    const data = Object.fromEntries(new FormData(form));
    if (data.again !== undefined && data.again !== (data.new ?? data.password)) {
      tell(outcome, "The two new passwords differ.", "bad");
      return;
    }
    delete data.again;
    button.disabled = true;
    tell(outcome, "", "plain");
    const { isOk, body } = await work(data);
    button.disabled = false;
    if (!isOk) {
      tell(outcome, body.detail, "bad");
      return;
    }
    form.reset();
    forget(body);
    show(body);
    tell(outcome, id === "password-form" ? "The password is changed; other logins of yours have ended." : "", "good");
  });
}

onSubmit("login-form", (data) => send("POST", "/api/v1/session", data));
onSubmit("code-form", (data) => send("POST", "/api/v1/session/code", data));
onSubmit("password-form", (data) => send("POST", "/api/v1/me/password", data));

byId("log-out").addEventListener("click", async () => {
  const { isOk, body } = await send("DELETE", "/api/v1/session");
  tell(outcome, isOk ? "You are logged out." : body.detail, isOk ? "good" : "bad");
  show(await me(true));
});

me(true).then(show, () => tell(outcome, "The device does not answer. Open this page again.", "bad"));
