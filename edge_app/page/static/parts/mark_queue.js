// Marks on their way to the device: the reader never waits for them. What got no answer is asked for
// again; what the device refuses is told, and nothing is shown as recorded that is not.

import { BASE, me, read, send } from "../lib/api.js";
import { pause } from "../lib/dom.js";
import { t } from "../lib/words.js";

const KEPT = "cropliq_marks"; // over a reload of the page, in this tab
const WAITS_MS = [1000, 2000, 4000, 8000, 15000];
const BUSY = [0, 408, 429, 500, 502, 503, 504];

export class MarkQueue {
  // changed(queue) after every step; recorded(mark, answer); refused(mark, sentence)
  constructor({ changed, recorded, refused }) {
    Object.assign(this, { changed, recorded, refused });
    this.waiting = kept();
    this.author = ""; // who is logged in: a mark left by another person waits for that person
    this.trouble = ""; // the device's sentence, or "silent"
    this.isStopped = false; // until somebody logs in
    this.isWorking = false;
  }

  get count() {
    return this.waiting.length;
  }

  of(id) {
    return this.waiting.filter((mark) => mark.id === id);
  }

  // mark: { id, name, author, body }
  add(mark) {
    this.waiting.push({ ...mark, tries: 0 });
    this.keep();
    this.start();
  }

  start() {
    if (this.isWorking) return;
    this.isStopped = false;
    this.work();
  }

  async work() {
    this.isWorking = true;
    while (this.waiting.length && !this.isStopped) {
      const mark = this.waiting[0];
      if (mark.author !== this.author) {
        this.stop(t("part.of_another", { author: mark.author }));
        break;
      }
      const answer = await this.give(mark);
      if (answer.isOk) this.settle(mark, () => this.recorded(mark, answer.body));
      else if (answer.status === 401) this.stop(answer.body.detail);
      else if (BUSY.includes(answer.status)) await this.wait(mark, answer);
      else this.settle(mark, () => this.refused(mark, answer.body.detail));
    }
    this.isWorking = false;
    this.changed(this);
  }

  async give(mark) {
    if (mark.tries > 0 && (await isThere(mark))) return { isOk: true, status: 200, body: {} };
    return send("POST", `${BASE}/parts/${mark.id}/decisions`, mark.body);
  }

  settle(mark, tell) {
    this.waiting = this.waiting.filter((one) => one !== mark);
    this.trouble = "";
    this.keep();
    tell();
    this.changed(this);
  }

  stop(sentence) {
    [this.trouble, this.isStopped] = [sentence, true];
    this.changed(this);
  }

  async wait(mark, { status, body }) {
    this.trouble = status === 0 ? "silent" : body.detail;
    const pauseMs = WAITS_MS[Math.min(mark.tries, WAITS_MS.length - 1)];
    mark.tries += 1;
    this.keep();
    this.changed(this);
    await pause(pauseMs);
  }

  keep() {
    try {
      sessionStorage.setItem(KEPT, JSON.stringify(this.waiting));
    } catch {
      // a browser that keeps nothing asks before the page is left
    }
    this.changed(this);
  }
}

function kept() {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT)) ?? [];
  } catch {
    return [];
  }
}

// No answer does not mean that nothing was done: the same mark of the same person is not given twice.
async function isThere({ id, body }) {
  const [{ name }, part] = await Promise.all([me().catch(() => ({})), read(`${BASE}/parts/${id}`).catch(() => null)]);
  const mine = (part?.decisions ?? []).find((one) => one.is_current && one.author === name);
  return Boolean(mine) && mine.mark === body.mark && (mine.note ?? "") === (body.note ?? "") && (mine.class ?? "") === (body.class ?? "") && JSON.stringify(mine.region ?? null) === JSON.stringify(body.region ?? null);
}
