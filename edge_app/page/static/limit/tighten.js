// A lower limit that parts of the chosen days guarantee: asked for, shown with before and after, and set
// by an engineer as any other limit is.

import { BASE, read } from "../lib/api.js";
import { byId, make, tell, write } from "../lib/dom.js";
import { figure, number } from "../lib/share.js";
import { oneOf, t } from "../lib/words.js";

const RATES = ["0.001", "0.005", "0.01", "0.02"];
const SOURCES = ["days", "random"];
const TIMEOUT_MS = 20000;

const percent = (share) => `${number(100 * share, share < 0.01 ? 1 : 0)} %`;

let proposed = null;

export function forgetProposal() {
  proposed = null;
  byId("proposal").hidden = true;
  tell(byId("tighten-outcome"), "");
}

export async function propose(slot, { from, to }) {
  forgetProposal();
  const query = new URLSearchParams({ from: from.toISOString(), to: to.toISOString(), source: byId("source").value, rate: byId("rate").value });
  try {
    show(await read(`${BASE}/limits/${encodeURIComponent(slot.slot)}/guaranteed?${query}`, TIMEOUT_MS));
  } catch (error) {
    tell(byId("tighten-outcome"), error.detail || (error.status ? error.message : t("limit.silent")), "bad");
  }
}

function show(found) {
  const values = { limit: found.limit === null ? "" : figure(found.limit), rate: percent(found.rate), confidence: percent(found.confidence), n: number(found.parts), k: number(found.rank), needed: number(found.needed), count: number(found.unreviewed) };
  const isFound = found.limit !== null;
  proposed = isFound ? found : null;
  byId("proposal").hidden = false;
  write(byId("proposal-words"), isFound ? t("tighten.proposal", values) : oneOf("tighten_problem", found.problem, values));
  byId("proposal-counts").replaceChildren(...(isFound ? rows(found) : []));
  byId("proposal-table").hidden = !isFound;
  const notes = [found.excluded_bad ? t("tighten.excluded", { count: number(found.excluded_bad) }) : "", found.unreviewed && found.source === "days" ? t("tighten.unreviewed", values) : ""];
  write(byId("proposal-notes"), notes.filter(Boolean).join(" "));
  byId("use-proposal").hidden = !isFound || byId("apply").hidden;
  write(byId("use-proposal"), isFound ? t("limit.apply", values) : "");
}

function rows({ alarmed_before: alarmed, alarmed_after: alarmedThen, bad_before: bad, bad_after: badThen, parts, excluded_bad: known }) {
  const row = (name, ...cells) => make("tr", {}, make("th", { scope: "row" }, name), ...cells.map((cell) => make("td", {}, make("strong", {}, number(cell)))));
  return [
    row(t("tighten.good_alarmed"), alarmed, alarmedThen),
    row(t("tighten.good_passed"), parts - alarmed, parts - alarmedThen),
    ...(known ? [row(t("tighten.bad_alarmed"), bad, badThen), row(t("tighten.bad_passed"), known - bad, known - badThen)] : []),
  ];
}

// { score_threshold, for_sha256, guaranteed } of the proposal that is shown; null while there is none.
export function proposal() {
  if (!proposed) return null;
  const { limit, bundle_sha256: sha256, source, from_ns: from, to_ns: to, rate, parts, rank } = proposed;
  return { score_threshold: limit, for_sha256: sha256, guaranteed: { source, from_ns: from, to_ns: to, rate, parts, rank } };
}

export function startTighten(asks, uses) {
  byId("rate").replaceChildren(...RATES.map((rate) => new Option(percent(Number(rate)), rate)));
  byId("rate").value = "0.005";
  byId("source").replaceChildren(...SOURCES.map((code) => new Option(oneOf("tighten_source", code), code)));
  byId("tighten").addEventListener("submit", (event) => { event.preventDefault(); asks(); });
  byId("use-proposal").addEventListener("click", uses);
  for (const id of ["rate", "source"]) byId(id).addEventListener("change", forgetProposal);
}
