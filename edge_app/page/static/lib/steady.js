// A touch is for what stood under the finger when a person aimed. Where the page has moved meanwhile
// (a picture came, a part was judged, a list grew) and another control lies there now, the touch does
// nothing, and that control is pale for a moment. Keys are not aimed; they always count.

const CONTROLS = "a[href], button, summary, select, label, input";
const LOOK_MS = 100;
const AIM_MS = 400; // a person needs about that long to see that something else stands there
const NEAR_PX = 12;

let looks = []; // { atMs, places: control → place }; the first is what a person saw who touches now
let pressed = { control: null, name: "", isSteady: true };

const controlOf = (target) => target.closest?.(CONTROLS) ?? null;
const isNear = (a, b) => Math.abs(a.x - b.x) <= NEAR_PX && Math.abs(a.y - b.y) <= NEAR_PX;
const isOver = (box, x, y, more = 0) => x >= box.left - more && x <= box.right + more && y >= box.top - more && y <= box.bottom + more;
const isInView = (box) => box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;

// Of a row, the element with data-name says which.
function nameOf(control) {
  const text = control.getAttribute("href") ?? control.getAttribute("aria-label") ?? control.textContent;
  return [control.tagName, control.id, control.closest("[data-name]")?.dataset.name, text].join(" ");
}

// Where a control is seen, and where it would be if nothing had been scrolled.
function placeOf(control, box = control.getBoundingClientRect()) {
  const laid = { x: box.x, y: box.y };
  for (let outer = control.parentElement; outer; outer = outer.parentElement) {
    laid.x += outer.scrollLeft;
    laid.y += outer.scrollTop;
  }
  return { box, laid, name: nameOf(control) };
}

function look() {
  if (document.hidden) {
    looks = [];
    return;
  }
  const nowMs = performance.now();
  const places = new Map();
  for (const control of document.querySelectorAll(CONTROLS)) {
    const box = control.getBoundingClientRect();
    if (box.width > 0 && isInView(box)) places.set(control, placeOf(control, box));
  }
  looks.push({ atMs: nowMs, places });
  while (looks.length > 1 && looks[1].atMs <= nowMs - AIM_MS) looks.shift();
}

// Whether a control was where it is touched; one that was drawn anew under the same name counts as
// the same. Where nothing else was that a person could have aimed at, it need not have been there.
function isSteady(control, { clientX: x, clientY: y }) {
  const before = looks[0]?.places;
  if (!before) return true;
  const place = placeOf(control);
  const own = before.get(control);
  if (own && isNear(own.laid, place.laid)) return true; // scrolled at most
  const there = [...before].filter(([, was]) => isOver(was.box, x, y, NEAR_PX));
  if (there.some(([one, was]) => one === control || was.name === place.name)) return true;
  return !there.some(([one, was]) => isOver(was.box, x, y) && !isPartOf(one, control) && !isScrolledAway(one, was));
}

const isPartOf = (one, other) => one.contains(other) || other.contains(one);

function isScrolledAway(control, was) {
  if (!control.isConnected) return false;
  const now = placeOf(control);
  return isNear(now.laid, was.laid) && !isNear(now.box, was.box);
}

function press(event) {
  const control = controlOf(event.target);
  pressed = { control, name: control && nameOf(control), isSteady: control === null || isSteady(control, event) };
}

// A label hands its touch on to what it names; a list may be drawn anew under the finger.
const isPressed = (control) => control === pressed.control || pressed.control?.control === control || nameOf(control) === pressed.name;

function refuse(event) {
  const control = controlOf(event.target);
  if (control === null || event.detail === 0 || !event.isTrusted) return;
  if (isPressed(control) ? pressed.isSteady : isSteady(control, event)) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  control.classList.add("is-resting");
  setTimeout(() => control.classList.remove("is-resting"), AIM_MS);
}

export function keepSteady() {
  document.addEventListener("pointerdown", press, { capture: true });
  for (const touch of ["mousedown", "click"]) document.addEventListener(touch, refuse, { capture: true });
  look();
  setInterval(look, LOOK_MS);
}
