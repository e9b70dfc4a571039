// What one person said of a part, and what an engineer says of that.

import { make } from "../lib/dom.js";
import { dayTime } from "../lib/times.js";
import { oneOf, t } from "../lib/words.js";

// `accept(id, isAccepted)`: what an engineer's button does; null for everybody else.
export function decisionItem(said, accept) {
  const { mark, author, at, note, region, is_current: isCurrent, isWaiting, class: defectClass } = said;
  const more = [defectClass?.replaceAll("_", " "), region ? t("part.with_region") : "", note].filter(Boolean).join(" · ");
  return make("li", { className: isCurrent ? "" : "is-past" },
    make("span", { className: "mark-chip", dataset: { mark } }, oneOf("part_mark", mark)), " ",
    make("strong", {}, author), " ",
    make("span", { className: "soft" }, isWaiting ? t("part.waiting") : dayTime(at), isCurrent ? "" : ` · ${t("part.replaced")}`),
    more ? make("p", {}, more) : null,
    isWaiting || !isCurrent ? null : acceptance(said, accept));
}

// A mark is a proposal until an engineer accepts it; only accepted ones are learnt from.
function acceptance({ id, mark, author, acceptance: ruling, accepted_by: by }, accept) {
  const button = (word, isAccepted) => make("button", {
    type: "button", className: "button", "aria-label": t(`part.${word}_of`, { author, mark: oneOf("part_mark", mark) }),
    onclick: ({ currentTarget }) => { currentTarget.disabled = true; accept(id, isAccepted); },
  }, t(`part.${word}`));
  return make("div", { className: "acceptance" },
    make("span", { className: "soft" }, t(`part.${ruling ?? "proposal"}`, { author: by })),
    accept && ruling !== "accepted" ? button("accept", true) : null,
    accept && ruling !== "declined" ? button("decline", false) : null);
}
