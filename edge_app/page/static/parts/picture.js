// One part's picture with layers over it: crop or frame, outlines, anomaly map, a region that is drawn.

import { BASE, read } from "../lib/api.js";
import { svg } from "../lib/dom.js";
import { intoCrop, outOfCrop, pointsOf } from "../lib/geometry.js";

const TIMEOUT_MS = 15000;

// "…/evidence/DATE/NAME.jpg" on whatever host → the same picture on this device.
export const frameAddress = (part) =>
  part.evidence_url ? `${BASE}/evidence/${part.evidence_url.split("/").slice(-2).map(encodeURIComponent).join("/")}` : null;
export const cropAddress = (part) => (part.has_crop ? `${BASE}/parts/${part.id}/crop.jpg` : null);

// Loads a picture; { address, width, height }, or null where it is not kept.
export function loaded(address) {
  if (!address) return Promise.resolve(null);
  return new Promise((done) => {
    const image = new Image();
    image.onload = () => done({ address, width: image.naturalWidth, height: image.naturalHeight });
    image.onerror = () => done(null);
    image.src = address;
  });
}

let limits = null;

// The map's limit of the bundle that judged a part; null where another one judges now.
async function mapLimit(part) {
  limits ??= read(`${BASE}/limits`, TIMEOUT_MS).then((answer) => answer.limits).catch(() => []);
  const slot = (await limits).find((one) => one.bundle_sha256 === part.bundle_sha256 && one.precision === part.precision);
  return slot?.map_threshold ?? null;
}

// Everything that is kept of a part's picture; kept by the caller, so that the next part is there at once.
export async function picturesOf(part) {
  const has = Boolean(part.evidence_url);
  const [sidecar, crop, map] = await Promise.all([
    has ? read(`${BASE}/parts/${part.id}/sidecar`, TIMEOUT_MS).catch(() => null) : null,
    loaded(cropAddress(part)),
    !has ? null : loaded(`${BASE}/parts/${part.id}/map.png`),
  ]);
  const frame = crop ? null : await loaded(frameAddress(part));
  return { sidecar, crop, frame, map, mapLimit: map ? await mapLimit(part) : null };
}

// Grey → clear below half the map's limit, then orange to yellow up to twice the limit and above.
function heat(gain) {
  const grey = `${gain} 0 0 0 0 `.repeat(4);
  const table = (name, values) => svg(`feFunc${name}`, { type: "table", tableValues: values });
  return svg("filter", { id: "heat", x: 0, y: 0, width: 1, height: 1, "color-interpolation-filters": "sRGB" },
    svg("feColorMatrix", { type: "matrix", values: grey }),
    svg("feComponentTransfer", {}, table("R", "1 1 1 1 1 1 1 1 1"), table("G", "0 .1 .2 .3 .45 .6 .75 .9 1"), table("B", "0 0 0 0 0 .05 .15 .35 .6"), table("A", "0 0 0 .35 .55 .65 .7 .75 .8")));
}

export class PartPicture {
  constructor(root) {
    this.root = root;
    this.layers = { frame: false, outline: true, map: false };
    this.region = null; // in frame pixels
    this.clear();
  }

  clear() {
    this.part = null;
    this.pictures = {};
    this.root.replaceChildren();
  }

  get inFrame() {
    return this.layers.frame || !this.pictures.crop;
  }

  get shown() {
    return this.inFrame ? this.pictures.frame : this.pictures.crop;
  }

  // Whether a point of what is shown can be said in frame pixels.
  get isMapped() {
    return Boolean(this.shown) && (this.inFrame || Boolean(intoCrop(this.pictures.sidecar?.crop)));
  }

  async show(part, pictures) {
    [this.part, this.pictures] = [part, pictures];
    await this.draw();
  }

  async draw() {
    if (this.layers.frame && this.pictures.frame === null && this.part) {
      const of = this.part;
      const frame = await loaded(frameAddress(of));
      if (of !== this.part) return;
      this.pictures.frame = frame ?? false;
    }
    const shown = this.shown || this.pictures.crop || null;
    this.root.replaceChildren();
    if (!shown) return;
    const { width, height, address } = shown;
    this.root.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.root.append(svg("image", { href: address, width, height }));
    if (this.layers.map && this.pictures.map) this.root.append(this.map(width, height));
    if (this.layers.outline) this.root.append(...this.outlines());
    if (this.region) this.root.append(this.polygon(this.region, "region"));
  }

  // The map covers the crop; in the frame it lies where the crop was cut out.
  map(width, height) {
    const { crop, map } = this.pictures.sidecar ?? {};
    const limit = this.pictures.mapLimit;
    const colour = heat(map?.scale && limit > 0 ? (255 * map.scale) / (2 * limit) : 1);
    const place = { href: this.pictures.map.address, preserveAspectRatio: "none", filter: "url(#heat)" };
    if (!this.inFrame || !crop?.corners) return svg("g", { class: "map" }, colour, svg("image", { ...place, width, height }));
    const [[x0, y0], [x1, y1], , [x3, y3]] = crop.corners;
    const matrix = [(x1 - x0) / crop.width, (y1 - y0) / crop.width, (x3 - x0) / crop.height, (y3 - y0) / crop.height, x0, y0];
    return svg("g", { class: "map", transform: `matrix(${matrix.join(" ")})` }, colour, svg("image", { ...place, width: crop.width, height: crop.height }));
  }

  outlines() {
    const { sidecar } = this.pictures;
    const outline = sidecar?.outline?.length ? sidecar.outline : this.part.corners;
    const defects = sidecar?.defects?.length ? sidecar.defects : this.part.defects;
    const regions = (this.part.decisions ?? []).filter((one) => one.is_current && one.region);
    return [
      outline?.length > 2 ? this.polygon(outline, "outline") : null,
      ...defects.map((defect) => this.polygon(pointsOf(defect), defect.weak ? "defect weak" : "defect")),
      ...regions.map((one) => this.polygon(one.region, "marked")),
    ].filter(Boolean);
  }

  polygon(points, name) {
    const place = this.inFrame ? (point) => point : intoCrop(this.pictures.sidecar?.crop);
    if (!place || points.length < 2) return null;
    const text = points.map((point) => place(point).map((v) => v.toFixed(1)).join(",")).join(" ");
    const group = svg("g", { class: name });
    group.append(svg("polygon", { points: text, class: "halo" }), svg("polygon", { points: text, class: "stroke" }));
    return group;
  }

  // A point on the screen → [x, y] in frame pixels, within the picture.
  framePoint({ clientX, clientY }) {
    const matrix = this.root.getScreenCTM()?.inverse();
    const { width, height } = this.shown ?? {};
    if (!matrix || !width) return null;
    const point = new DOMPoint(clientX, clientY).matrixTransform(matrix);
    const [x, y] = [Math.max(0, Math.min(width, point.x)), Math.max(0, Math.min(height, point.y))];
    return this.inFrame ? [x, y] : outOfCrop(this.pictures.sidecar.crop)([x, y]);
  }
}
