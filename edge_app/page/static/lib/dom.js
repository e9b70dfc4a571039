// Elements of a page. Texts go in as text, never as HTML.

export const byId = (id) => document.getElementById(id);
export const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// make("p", { className: "hint", dataset: { level: "bad" }, "aria-live": "polite" }, "text", child)
export function make(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value == null || value === false) continue;
    if (name === "dataset") Object.assign(made.dataset, value);
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && !name.startsWith("aria")) made[name] = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

export function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  made.append(...children);
  return made;
}

// Changes a text only where it differs: what a screen reader announces is what has changed.
export function write(element, text) {
  const wanted = String(text ?? "");
  if (element && element.textContent !== wanted) element.textContent = wanted;
}

export const clone = (template) => template.content.firstElementChild.cloneNode(true);

export function chip(element, text, level) {
  write(element.querySelector(".text"), text);
  element.dataset.level = level; // "good", "plain", "bad"
}

// Shows the outcome of something a person did: level "good", "plain" or "bad".
export function tell(element, text, level = "plain") {
  write(element, text);
  element.dataset.level = level;
}
