// Every request of a page goes through here and says how long nobody has touched the page: what an
// open page asks by itself keeps no login alive.

const TOUCHES = ["pointerdown", "keydown", "wheel"];

let touchedMs = performance.now(); // somebody opened the page

for (const touch of TOUCHES) {
  addEventListener(touch, () => { touchedMs = performance.now(); }, { capture: true, passive: true });
}

export function ask(address, options = {}) {
  const idleS = Math.floor((performance.now() - touchedMs) / 1000);
  return fetch(address, { ...options, headers: { ...options.headers, "X-Idle-S": String(idleS) } });
}
