// A part's fault in one sentence: what, how large (millimetres where the camera is calibrated), where,
// and how far over the limit.

import { boundsOf, intoCrop, pointsOf } from "./geometry.js";
import { number, shareOf, shareText } from "./share.js";
import { t } from "./words.js";

// "Part 17": the number of the source or, without one, the last figures of the part's id.
export function numberName({ number: own, part_id: id }) {
  const counted = own ?? (/-(\d+)$/.exec(id ?? "") ?? [])[1];
  return counted == null ? id : t("part.name", { number: Number(counted) });
}

// The number first: it is what people say to each other; the trigger's serial or a file's name beside it.
export function nameOf(part) {
  const serial = part.trigger_id ? t("part.serial", { serial: part.trigger_id }) : (part.source_name ?? "");
  const name = part.number == null && serial ? "" : numberName(part);
  return [name, serial].filter(Boolean).join(" · ");
}

const side = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]);

function sizeText(defect, part) {
  if (defect.size_mm) {
    const [length, width] = defect.size_mm;
    return t("defect.mm", { length: number(length, 1), width: number(width, 1) });
  }
  const corners = part.corners ?? [];
  const points = pointsOf(defect);
  if (corners.length !== 4 || points.length === 0 || defect.weak) return "";
  const whole = Math.max(side(corners[0], corners[1]), side(corners[1], corners[2]));
  const box = boundsOf(points);
  const share = (100 * Math.max(box.width, box.height)) / whole;
  return whole > 0 ? t("defect.share", { share: share < 1 ? "< 1" : number(share) }) : "";
}

function placeText(defect, crop) {
  const map = intoCrop(crop);
  const points = pointsOf(defect);
  if (!map || points.length === 0) return "";
  const box = boundsOf(points.map(map));
  const isWide = crop.width >= crop.height;
  const at = isWide ? (box.left + box.width / 2) / crop.width : (box.top + box.height / 2) / crop.height;
  const names = isWide ? [t("defect.left"), t("defect.middle"), t("defect.right")] : [t("defect.top"), t("defect.middle"), t("defect.bottom")];
  return names[Math.min(2, Math.max(0, Math.floor(3 * at)))];
}

export function className(kind) {
  if (!kind || kind === "unknown") return t("defect.unknown");
  return kind[0].toUpperCase() + kind.slice(1).replaceAll("_", " ");
}

// The sidecar may be null: sizes and places come from it.
export function faultText(part, sidecar) {
  const defects = [...(sidecar?.defects ?? part.defects ?? [])].sort((a, b) => (b.peak ?? 0) - (a.peak ?? 0));
  const [worst, ...others] = defects;
  if (!worst) return t("defect.none");
  const text = [className(worst.class), sizeText(worst, part), placeText(worst, sidecar?.crop)].filter(Boolean).join(", ");
  return others.length > 0 ? t("defect.more", { text, count: others.length }) : text;
}

export function overText(part) {
  const share = shareOf(part.score, part.threshold);
  if (share == null) return "";
  const key = share >= 200 ? t("defect.clearly_over") : share >= 110 ? t("defect.over") : t("defect.just_over");
  return `${key} (${shareText(part.score, part.threshold)})`;
}
