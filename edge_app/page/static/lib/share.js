// Scores as people compare them: as a share of the limit; the raw figures stand beside it.

import { language, t } from "./words.js";

// Percent of the limit. With the calibration's median a usual good part is 0 and the limit 100.
export function shareOf(score, limit, median = null) {
  if (score == null || limit == null) return null;
  const [part, whole] = median == null ? [score, limit] : [score - median, limit - median];
  return whole > 0 ? Math.max(0, (100 * part) / whole) : null;
}

export function shareText(score, limit, median = null) {
  const share = shareOf(score, limit, median);
  return share == null ? "" : t("share.of_limit", { share: number(share) });
}

// A score against its limit as the device has them.
export const rawText = (score, limit) => t("share.raw", { score: figure(score), limit: figure(limit) });

export const figure = (value) => (value == null ? "–" : Number(value.toPrecision(3)).toString());

export const number = (value, digits = 0) =>
  value == null ? "–" : value.toLocaleString(language, { minimumFractionDigits: digits, maximumFractionDigits: digits });
