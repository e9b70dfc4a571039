// Who is logged in, and requests that carry what proves it. Texts of the device are shown as text.

const TIMEOUT_MS = 15000;

let known = null;

export async function me(isFresh = false) {
  if (known === null || isFresh) {
    const answer = await fetch("/api/v1/me", { signal: AbortSignal.timeout(TIMEOUT_MS) });
    known = answer.ok ? await answer.json() : { kind: "", name: "", role: "", csrf: "" };
  }
  return known;
}

export function forget(next = null) {
  known = next;
}

export async function csrfHeaders() {
  const { csrf } = await me().catch(() => ({ csrf: "" }));
  return csrf ? { "X-CSRF-Token": csrf } : {};
}

// Returns { isOk, body }; the body of a refusal has the device's sentence in `detail`.
export async function send(method, address, data) {
  const headers = await csrfHeaders();
  const options = { method, headers, signal: AbortSignal.timeout(TIMEOUT_MS) };
  if (data !== undefined) {
    headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(data);
  }
  try {
    const answer = await fetch(address, options);
    const body = answer.status === 204 ? {} : await answer.json().catch(() => ({}));
    if (!answer.ok && !body.detail) body.detail = `The device answered ${answer.status}.`;
    return { isOk: answer.ok, body };
  } catch {
    return { isOk: false, body: { detail: "The device does not answer. Nothing is known of the change." } };
  }
}

export function tell(element, text, level) {
  element.textContent = text;
  element.dataset.level = level;
}

// The chip in the header of every page: who is logged in, or the way in.
export async function showWho() {
  const chip = document.getElementById("who");
  const { kind, name, role } = await me(true).catch(() => ({ kind: "" }));
  chip.textContent = kind === "person" ? `${name}, ${role}` : "Log in";
}
