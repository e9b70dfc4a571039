// A region drawn with finger, pen or mouse on a picture: a closed polygon of few points.

const MOST_POINTS = 100;
const STEP_PX = 1.5; // of the frame; nearer points say nothing

// Ramer, Douglas and Peucker: leaves out points that lie within `tolerance` of the line without them.
function thinned(points, tolerance) {
  if (points.length < 3) return points;
  const [[ax, ay], [bx, by]] = [points[0], points[points.length - 1]];
  const length = Math.hypot(bx - ax, by - ay);
  const away = ([x, y]) => (length ? Math.abs((by - ay) * (x - ax) - (bx - ax) * (y - ay)) / length : Math.hypot(x - ax, y - ay));
  let [far, most] = [0, 0];
  for (let i = 1; i < points.length - 1; i += 1) {
    const distance = away(points[i]);
    if (distance > most) [far, most] = [i, distance];
  }
  if (most <= tolerance) return [points[0], points[points.length - 1]];
  return [...thinned(points.slice(0, far + 1), tolerance).slice(0, -1), ...thinned(points.slice(far), tolerance)];
}

// At most 100 points, in tenths of a frame's pixel; null where there is no area.
export function simplified(points) {
  let found = points;
  for (let tolerance = 0.5; found.length > MOST_POINTS || tolerance === 0.5; tolerance *= 1.6) found = thinned(points, tolerance);
  const rounded = found.map((point) => point.map((value) => Math.round(value * 10) / 10));
  let doubled = 0;
  rounded.forEach(([x, y], i) => {
    const [nx, ny] = rounded[(i + 1) % rounded.length];
    doubled += x * ny - nx * y;
  });
  return rounded.length >= 3 && Math.abs(doubled) > 8 ? rounded : null;
}

// Calls back with the region while it grows and when it is closed (null: it had no area).
export function followFinger(picture, { isOn, grows, closed }) {
  let points = null;
  picture.root.addEventListener("pointerdown", (event) => {
    if (!isOn() || !picture.isMapped || !event.isPrimary) return;
    event.preventDefault();
    picture.root.setPointerCapture(event.pointerId);
    points = [picture.framePoint(event)];
  });
  picture.root.addEventListener("pointermove", (event) => {
    if (!points || !event.isPrimary) return;
    const [x, y] = picture.framePoint(event);
    const [lastX, lastY] = points[points.length - 1];
    if (Math.hypot(x - lastX, y - lastY) < STEP_PX) return;
    points.push([x, y]);
    grows(points);
  });
  const end = (event) => {
    if (!points || !event.isPrimary) return;
    const drawn = points;
    points = null;
    closed(event.type === "pointerup" ? simplified(drawn) : null);
  };
  picture.root.addEventListener("pointerup", end);
  picture.root.addEventListener("pointercancel", end);
}
