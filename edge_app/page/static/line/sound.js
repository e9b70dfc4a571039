// Two tones for a bad part. Off until a person switches it on: a browser wants a touch before it sounds.

import { byId } from "../lib/dom.js";

let context = null;

export function startSound() {
  byId("sound").addEventListener("click", async () => {
    if (context) {
      await context.close();
      context = null;
    } else {
      context = new AudioContext();
      await context.resume();
      beep();
    }
    byId("sound").setAttribute("aria-pressed", String(context !== null));
  });
}

export function beep() {
  if (!context) return;
  for (const [start, hertz] of [[0, 880], [0.25, 660]]) {
    const tone = new OscillatorNode(context, { frequency: hertz });
    const gain = new GainNode(context, { gain: 0.25 });
    tone.connect(gain).connect(context.destination);
    tone.start(context.currentTime + start);
    tone.stop(context.currentTime + start + 0.2);
  }
}
