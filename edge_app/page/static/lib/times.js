// Times as people read them: the browser's own time, with its zone where a day is named.

import { language, t } from "./words.js";

const LOCALE = { en: "en-GB", ko: "ko-KR" }[language];

// ns since the epoch, RFC 3339, or a Date
export function moment(time) {
  if (time instanceof Date) return time;
  return new Date(typeof time === "number" ? time / 1e6 : time);
}

const clockForm = new Intl.DateTimeFormat(LOCALE, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const dayForm = new Intl.DateTimeFormat(LOCALE, { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hour12: false, timeZoneName: "short" });
const hourForm = new Intl.DateTimeFormat(LOCALE, { hour: "2-digit", minute: "2-digit", hour12: false });

export const clockTime = (time) => clockForm.format(moment(time));
export const hourTime = (time) => hourForm.format(moment(time));
export const dayTime = (time) => dayForm.format(moment(time));
export const isoTime = (time) => moment(time).toISOString();

export const zone = () =>
  new Intl.DateTimeFormat(LOCALE, { timeZoneName: "short" }).formatToParts(new Date()).find((p) => p.type === "timeZoneName")?.value ?? "UTC";

// "8 s", "5 min", "3 h", "2 days"
export function age(seconds) {
  const s = Math.max(0, seconds);
  if (s < 90) return t("age.s", { n: Math.round(s) });
  if (s < 90 * 60) return t("age.min", { n: Math.round(s / 60) });
  if (s < 36 * 3600) return t("age.h", { n: Math.round(s / 3600) });
  return t("age.days", { n: Math.round(s / 86400) });
}
