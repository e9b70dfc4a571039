// A touch counts only for a control that has stood where it was touched. Whoever aims while the page
// moves (a picture comes, a part is judged, a list grows) hits what came there instead: that does
// nothing, and looks so for a moment. Keys are not aimed; they always count.

const CONTROLS = "a[href], button, summary, select, label, input";
const LOOK_MS = 200;
const REST_MS = 400; // a person needs about that long to see that something else stands there
const FAR_PX = 12;
const OWN_MS = 500; // what moves so soon after a touch or a key was moved by it

let looked = null; // control → { seen, laid, name, restsTo }
let ownMs = -Infinity;
let pressed = { control: null, isSteady: true };

const controlOf = (target) => target.closest?.(CONTROLS) ?? null;
const isNear = (a, b) => Math.abs(a.x - b.x) <= FAR_PX && Math.abs(a.y - b.y) <= FAR_PX;

// Where a control is seen, and where it would be if nothing had been scrolled.
function placeOf(control) {
  const { x, y } = control.getBoundingClientRect();
  const laid = { x, y };
  for (let box = control.parentElement; box; box = box.parentElement) {
    laid.x += box.scrollLeft;
    laid.y += box.scrollTop;
  }
  return { seen: { x, y }, laid, name: `${control.tagName} ${control.id} ${control.textContent}` };
}

// What was scrolled has not moved, nor what the browser keeps in view while something above it grows.
const isSame = (a, b) => isNear(a.seen, b.seen) || isNear(a.laid, b.laid);

// When the control may be touched. One that was drawn anew, the same at the same place, goes on.
function restsTo(control, place, nowMs) {
  if (looked === null) return -Infinity;
  const before = looked.get(control) ?? [...looked.values()].find((one) => one.name === place.name && isSame(one, place));
  if (before && isSame(before, place)) return before.restsTo;
  return nowMs - ownMs < OWN_MS ? -Infinity : nowMs + REST_MS;
}

function look() {
  if (document.hidden) return;
  const nowMs = performance.now();
  const shown = [...document.querySelectorAll(CONTROLS)].filter((control) => control.offsetParent);
  looked = new Map(shown.map((control) => {
    const place = placeOf(control);
    return [control, { ...place, restsTo: restsTo(control, place, nowMs) }];
  }));
}

function press({ target }) {
  const [control, nowMs] = [controlOf(target), performance.now()];
  pressed = { control, isSteady: control === null || restsTo(control, placeOf(control), nowMs) <= nowMs };
  ownMs = nowMs;
}

// A label hands its touch on to what it names.
const isPressed = (control) => control === pressed.control || pressed.control?.control === control;

function refuse(event) {
  const control = controlOf(event.target);
  if (control === null || event.detail === 0 || !event.isTrusted) return;
  if (pressed.isSteady && isPressed(control)) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  control.classList.add("is-resting");
  setTimeout(() => control.classList.remove("is-resting"), REST_MS);
}

export function keepSteady() {
  addEventListener("keydown", () => { ownMs = performance.now(); }, { capture: true });
  document.addEventListener("pointerdown", press, { capture: true });
  for (const touch of ["mousedown", "click"]) document.addEventListener(touch, refuse, { capture: true });
  setInterval(look, LOOK_MS);
}
