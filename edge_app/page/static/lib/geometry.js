// Where things of a frame are in the upright crop that was cut out of it.

// `corners` of the crop in frame pixels, from its top left, clockwise (the sidecar's crop.corners);
// returns the function [x, y] in the frame → [x, y] in the crop, or null where there is no crop.
export function intoCrop(crop) {
  if (!crop?.corners || crop.corners.length !== 4) return null;
  const [[x0, y0], [x1, y1], , [x3, y3]] = crop.corners;
  const [ux, uy, vx, vy] = [x1 - x0, y1 - y0, x3 - x0, y3 - y0];
  const det = ux * vy - uy * vx;
  if (!det) return null;
  return ([x, y]) => {
    const [dx, dy] = [x - x0, y - y0];
    return [(crop.width * (dx * vy - dy * vx)) / det, (crop.height * (dy * ux - dx * uy)) / det];
  };
}

// The inverse: [x, y] in the crop → [x, y] in the frame, for a region drawn on the crop.
export function outOfCrop(crop) {
  if (!crop?.corners || crop.corners.length !== 4) return null;
  const [[x0, y0], [x1, y1], , [x3, y3]] = crop.corners;
  return ([cx, cy]) => {
    const [u, v] = [cx / crop.width, cy / crop.height];
    return [x0 + u * (x1 - x0) + v * (x3 - x0), y0 + u * (y1 - y0) + v * (y3 - y0)];
  };
}

export function boundsOf(points) {
  const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)];
  const [left, top, right, bottom] = [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
  return { left, top, right, bottom, width: right - left, height: bottom - top };
}

// The four corners of an upright box, or the outline where there is one.
export function pointsOf(defect) {
  if (defect.polygon?.length > 2) return defect.polygon;
  if (!defect.box) return [];
  const [x0, y0, x1, y1] = defect.box;
  return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]];
}
