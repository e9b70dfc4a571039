// The plant's shifts, as the device's configuration and its zone have them; the browser's zone may differ.

import { BASE, read } from "./api.js";

// { shifts: ["06:00-14:00", ...], current: { from, to }, before: { from, to } }
export const readShifts = () => read(`${BASE}/shifts`);
