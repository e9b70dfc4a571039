// One part's picture with rings round its defects: the upright crop where it is kept, else the frame,
// zoomed to the part. The picture itself is never changed; rings are drawn over it.

import { BASE, read } from "./api.js";
import { svg } from "./dom.js";
import { boundsOf, intoCrop, pointsOf } from "./geometry.js";
import { t } from "./words.js";

const LEAST_RING = 0.05; // of the picture's longer side
const MARGIN = 0.15; // of the part, round it in the frame

// The sidecar is a file that never changes: each is asked for once.
const sidecars = new Map();

// Returns the sidecar, or null where none is kept.
export async function sidecarOf(part) {
  if (!sidecars.has(part.id)) {
    if (sidecars.size > 60) sidecars.delete(sidecars.keys().next().value);
    const found = await read(`${BASE}/parts/${part.id}/sidecar`).catch((error) => (error.status ? null : undefined));
    if (found === undefined) return null; // no contact: asked again
    sidecars.set(part.id, found);
  }
  return sidecars.get(part.id);
}

export function evidencePath(part) {
  const found = /\/evidence\/.*$/.exec(part.evidence_url ?? "");
  return found ? found[0] : null;
}

// Returns an <svg> with the picture and its rings, or null where no picture is kept.
export async function evidencePicture(part) {
  const sidecar = await sidecarOf(part);
  const defects = sidecar?.defects ?? part.defects ?? [];
  const map = part.has_crop ? intoCrop(sidecar?.crop) : null;
  if (map) {
    const { width, height } = sidecar.crop;
    return drawn(`${BASE}/parts/${part.id}/crop.jpg`, [0, 0, width, height], [width, height], defects.map((d) => pointsOf(d).map(map)), part);
  }
  const path = evidencePath(part);
  if (!path) return null;
  const size = sidecar?.frame ? [sidecar.frame.width, sidecar.frame.height] : await sizeOf(path);
  if (!size) return null;
  return drawn(path, windowOf(part.corners, size), size, defects.map(pointsOf), part);
}

async function sizeOf(path) {
  const picture = new Image();
  picture.src = path;
  return picture.decode().then(() => [picture.naturalWidth, picture.naturalHeight], () => null);
}

function windowOf(corners, [w, h]) {
  if (!corners?.length) return [0, 0, w, h];
  const box = boundsOf(corners);
  const more = MARGIN * Math.max(box.width, box.height);
  const [x0, y0] = [Math.max(0, box.left - more), Math.max(0, box.top - more)];
  return [x0, y0, Math.min(w, box.right + more) - x0, Math.min(h, box.bottom + more) - y0];
}

function drawn(address, window, [w, h], outlines, part) {
  const picture = svg("image", { href: address, x: 0, y: 0, width: w, height: h });
  const rings = outlines.filter((points) => points.length > 0).map((points) => ring(points, window));
  const made = svg("svg", { viewBox: window.join(" "), class: "evidence-svg", role: "img", "aria-label": t("part.picture_alt", { part: part.part_id }) }, picture, ...rings);
  picture.addEventListener("error", () => made.dispatchEvent(new Event("missing")));
  return made;
}

// White between two dark lines: seen on every ground, and for people who do not see red.
function ring(points, [, , w, h]) {
  const box = boundsOf(points);
  const least = LEAST_RING * Math.max(w, h);
  const at = { cx: box.left + box.width / 2, cy: box.top + box.height / 2, rx: Math.max(least, 0.75 * box.width), ry: Math.max(least, 0.75 * box.height) };
  const line = (css) => svg("ellipse", { ...at, class: css, fill: "none", "vector-effect": "non-scaling-stroke" });
  return svg("g", { class: "ring" }, line("ring-outer"), line("ring-inner"));
}
