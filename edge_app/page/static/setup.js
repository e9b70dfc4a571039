// Reads /api/setup four times a second and /frame.jpg as fast as the connection carries it.

import { ask } from "./lib/ask.js";
import { keepSteady } from "./lib/steady.js";

const POLL_MS = 250;
const PICTURE_PAUSE_MS = 60;
const LOST_AFTER_MS = 3000;
const GOOD_PERCENT = 95; // of the best: nearer than hands turn a lens
const CLIPPED_PERCENT = 1;
const GOOD_STATES = ["capturing", "waiting_for_trigger"];
const SVG = "http://www.w3.org/2000/svg";

const byId = (id) => document.getElementById(id);
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const figure = (value, digits = 0) =>
  value == null ? "–" : value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
let lastContactMs = performance.now();
let sequence = 0;

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function chip(id, text, level) {
  write(byId(id).querySelector(".text"), text);
  byId(id).dataset.level = level;
}

function advice(now) {
  if (now.white_percent > CLIPPED_PERCENT) return "Parts of the picture are lost in white: shorten the exposure or dim the light.";
  if (now.black_percent > CLIPPED_PERCENT) return "Parts of the picture are lost in black: lengthen the exposure or add light.";
  if (now.brightest < 128) return "The picture uses less than half of the range: lengthen the exposure or add light.";
  return "Neither end of the range is cut off.";
}

function drawHistogram(bins) {
  const bars = byId("histogram");
  while (bars.children.length < bins.length) {
    const bar = document.createElementNS(SVG, "rect");
    const at = bars.children.length;
    bar.setAttribute("x", String(at + 0.06));
    bar.setAttribute("width", "0.88");
    if (at === 0 || at === bins.length - 1) bar.classList.add("clipped");
    bars.append(bar);
  }
  bins.forEach((share, at) => {
    const height = 38 * Math.sqrt(share); // the root shows small shares beside a large background
    bars.children[at].setAttribute("y", String(40 - height));
    bars.children[at].setAttribute("height", String(height));
  });
}

function show(now) {
  const why = now.why ? ` – ${now.why}` : "";
  chip("camera", `Camera: ${now.state.replaceAll("_", " ")}${why}`, GOOD_STATES.includes(now.state) ? "good" : "bad");
  if (now.focus == null) return;
  const percent = now.best > 0 ? (100 * now.focus) / now.best : 0;
  write(byId("focus"), figure(percent));
  byId("focus-bar").setAttribute("width", String(percent));
  byId("focus-bar").dataset.level = percent >= GOOD_PERCENT ? "good" : "plain";
  write(byId("figure"), figure(now.focus, 1));
  write(byId("best"), figure(now.best, 1));
  write(byId("acuity"), figure(now.acuity, 2));
  write(byId("levels"), `${now.darkest} – ${now.brightest}`);
  write(byId("black"), `${figure(now.black_percent, 1)} %`);
  write(byId("white"), `${figure(now.white_percent, 1)} %`);
  write(byId("size"), `${now.width} × ${now.height}`);
  write(byId("rate"), now.per_second == null ? "–" : `${figure(now.per_second, 1)} a second`);
  write(byId("advice"), advice(now));
  drawHistogram(now.bins);
}

function fitCentre(image) {
  const centre = document.querySelector(".centre");
  if (!image.naturalWidth) return;
  centre.removeAttribute("hidden"); // SVG elements have no property of that name
  const scale = Math.min(image.clientWidth / image.naturalWidth, image.clientHeight / image.naturalHeight);
  const [w, h] = [image.naturalWidth * scale, image.naturalHeight * scale];
  centre.setAttribute("width", String(w));
  centre.setAttribute("height", String(h));
  centre.style.translate = `${image.offsetLeft + (image.clientWidth - w) / 2}px ${image.offsetTop + (image.clientHeight - h) / 2}px`;
}

async function showPictures() {
  const image = document.querySelector("#picture img");
  for (;;) {
    try {
      const answer = await ask(`/frame.jpg?after=${sequence}`, { signal: AbortSignal.timeout(LOST_AFTER_MS) });
      if (answer.status === 200) {
        sequence = Number(answer.headers.get("X-Frame-Sequence"));
        const before = image.src;
        image.src = URL.createObjectURL(await answer.blob());
        await image.decode();
        image.hidden = false;
        document.querySelector("#picture figcaption").hidden = true;
        fitCentre(image);
        if (before.startsWith("blob:")) URL.revokeObjectURL(before);
      }
    } catch {
      await pause(POLL_MS); // said by the figures' loop
    }
    await pause(PICTURE_PAUSE_MS);
  }
}

async function showFigures() {
  for (;;) {
    try {
      const answer = await ask("/api/setup", { signal: AbortSignal.timeout(LOST_AFTER_MS) });
      if (!answer.ok) throw new Error(await answer.text());
      show(await answer.json());
      lastContactMs = performance.now();
    } catch {
      // counted below: one lost answer is no news
    }
    const isLost = performance.now() - lastContactMs > LOST_AFTER_MS;
    byId("lost").hidden = !isLost;
    write(byId("lost"), isLost ? "No contact with the device: everything below is old." : "");
    chip("contact", isLost ? "Page: no contact" : "Page: live", isLost ? "bad" : "good");
    await pause(POLL_MS);
  }
}

byId("forget").addEventListener("click", () => ask("/api/setup/forget-best", { method: "POST" }));
window.addEventListener("resize", () => fitCentre(document.querySelector("#picture img")));
keepSteady();
showFigures();
showPictures();
