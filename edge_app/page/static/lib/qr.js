// A QR code drawn by the page itself (ISO/IEC 18004: byte mode, level L, versions 1 to 5, one block),
// enough for an address of 106 bytes.

import { make, svg } from "./dom.js";

const DATA_BYTES = [19, 34, 55, 80, 108];
const CHECK_BYTES = [7, 10, 15, 20, 26];
const QUIET = 4;

const MASKS = [
  (x, y) => (x + y) % 2, (x, y) => y % 2, (x) => x % 3, (x, y) => (x + y) % 3,
  (x, y) => (Math.floor(x / 3) + Math.floor(y / 2)) % 2, (x, y) => ((x * y) % 2) + ((x * y) % 3),
  (x, y) => (((x * y) % 2) + ((x * y) % 3)) % 2, (x, y) => (((x + y) % 2) + ((x * y) % 3)) % 2,
];

// Rows of booleans, dark is true; null where the text is too long.
export function qrModules(text) {
  const bytes = [...new TextEncoder().encode(text)];
  const version = DATA_BYTES.findIndex((room) => bytes.length <= room - 2) + 1;
  if (version === 0) return null;
  const words = withChecks(packed(bytes, DATA_BYTES[version - 1]), CHECK_BYTES[version - 1]);
  const codes = MASKS.map((_, mask) => drawn(words, version, mask));
  return codes.reduce((best, code) => (penalty(code) < penalty(best) ? code : best));
}

export function drawQr(text, label) {
  const rows = qrModules(text);
  if (!rows) return make("p", {}, text);
  const side = rows.length + 2 * QUIET;
  const path = rows.flatMap((row, y) => row.map((dark, x) => (dark ? `M${x + QUIET} ${y + QUIET}h1v1h-1z` : ""))).join("");
  return svg("svg", { viewBox: `0 0 ${side} ${side}`, class: "qr", role: "img", "aria-label": label, "shape-rendering": "crispEdges" },
    svg("rect", { width: side, height: side, fill: "#fff" }), svg("path", { d: path, fill: "#000" }));
}

function packed(bytes, room) {
  const bits = [0, 1, 0, 0]; // byte mode
  const put = (value, count) => { for (let i = count - 1; i >= 0; i -= 1) bits.push((value >> i) & 1); };
  put(bytes.length, 8);
  bytes.forEach((byte) => put(byte, 8));
  put(0, Math.min(4, 8 * room - bits.length));
  while (bits.length % 8) bits.push(0);
  const words = [];
  for (let i = 0; i < bits.length; i += 8) words.push(bits.slice(i, i + 8).reduce((sum, bit) => 2 * sum + bit, 0));
  for (let filler = 0xec; words.length < room; filler ^= 0xec ^ 0x11) words.push(filler);
  return words;
}

function product(x, y) {
  let z = 0;
  for (let i = 7; i >= 0; i -= 1) {
    z = (z << 1) ^ ((z >> 7) * 0x11d);
    z ^= ((y >> i) & 1) * x;
  }
  return z;
}

// Reed-Solomon over GF(256), generator with roots 2^0 … 2^(count - 1).
function withChecks(words, count) {
  const divisor = Array(count).fill(0);
  divisor[count - 1] = 1;
  for (let i = 0, root = 1; i < count; i += 1, root = product(root, 2)) {
    for (let j = 0; j < count; j += 1) divisor[j] = product(divisor[j], root) ^ (divisor[j + 1] ?? 0);
  }
  const rest = Array(count).fill(0);
  for (const word of words) {
    const factor = word ^ rest.shift();
    rest.push(0);
    divisor.forEach((value, i) => { rest[i] ^= product(value, factor); });
  }
  return [...words, ...rest];
}

function drawn(words, version, mask) {
  const size = 17 + 4 * version;
  const rows = Array.from({ length: size }, () => Array(size).fill(null));
  const set = (x, y, dark) => { if (x >= 0 && y >= 0 && x < size && y < size) rows[y][x] = Boolean(dark); };
  const square = (cx, cy, radius, isDark) => {
    for (let dy = -radius; dy <= radius; dy += 1) for (let dx = -radius; dx <= radius; dx += 1) set(cx + dx, cy + dy, isDark(Math.max(Math.abs(dx), Math.abs(dy))));
  };
  for (let i = 0; i < size; i += 1) { set(6, i, i % 2 === 0); set(i, 6, i % 2 === 0); }
  for (const [x, y] of [[3, 3], [size - 4, 3], [3, size - 4]]) square(x, y, 4, (d) => d !== 2 && d !== 4);
  if (version > 1) square(size - 7, size - 7, 2, (d) => d !== 1);
  formatBits(mask, size, set);
  fill(rows, words, size, mask);
  return rows;
}

function formatBits(mask, size, set) {
  const data = (1 << 3) | mask; // level L
  let rest = data;
  for (let i = 0; i < 10; i += 1) rest = (rest << 1) ^ ((rest >> 9) * 0x537);
  const bits = ((data << 10) | rest) ^ 0x5412;
  const bit = (i) => (bits >> i) & 1;
  for (let i = 0; i < 6; i += 1) set(8, i, bit(i));
  set(8, 7, bit(6)); set(8, 8, bit(7)); set(7, 8, bit(8));
  for (let i = 9; i < 15; i += 1) set(14 - i, 8, bit(i));
  for (let i = 0; i < 8; i += 1) set(size - 1 - i, 8, bit(i));
  for (let i = 8; i < 15; i += 1) set(8, size - 15 + i, bit(i));
  set(8, size - 8, true);
}

function fill(rows, words, size, mask) {
  let i = 0;
  for (let right = size - 1; right >= 1; right -= 2) {
    if (right === 6) right = 5;
    for (let step = 0; step < size; step += 1) {
      for (const x of [right, right - 1]) {
        const y = ((right + 1) & 2) === 0 ? size - 1 - step : step;
        if (rows[y][x] !== null) continue;
        const bit = i < 8 * words.length ? (words[i >> 3] >> (7 - (i & 7))) & 1 : 0;
        rows[y][x] = Boolean(bit) !== (MASKS[mask](x, y) === 0);
        i += 1;
      }
    }
  }
}

// Long runs, blocks of one colour and an uneven mix are hard to read.
function penalty(rows) {
  const size = rows.length;
  let sum = 0;
  for (const at of [(a, b) => rows[a][b], (a, b) => rows[b][a]]) {
    for (let a = 0; a < size; a += 1) {
      for (let b = 1, run = 1; b < size; b += 1) {
        run = at(a, b) === at(a, b - 1) ? run + 1 : 1;
        sum += run === 5 ? 3 : run > 5 ? 1 : 0;
      }
    }
  }
  for (let y = 1; y < size; y += 1) for (let x = 1; x < size; x += 1) if (rows[y][x] === rows[y - 1][x] && rows[y][x] === rows[y][x - 1] && rows[y][x] === rows[y - 1][x - 1]) sum += 3;
  const dark = rows.flat().filter(Boolean).length / (size * size);
  return sum + 10 * Math.floor(Math.abs(dark - 0.5) * 20);
}
