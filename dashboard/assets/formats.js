// How values are written, as the formats of bft_nas.record.columns write them; a test holds one against the other.
"use strict";

// Of two numbers that are as near, Python takes the even one and toFixed the larger one.
function fixed(value, digits) {
  const text = value.toFixed(digits);
  const isTie = new RegExp(`\\.\\d{${digits}}50*$`).test(value.toFixed(digits + 40));
  return isTie && Number(text.at(-1)) % 2 ? (Number(text) - 10 ** -digits).toFixed(digits) : text;
}
const digitsOfThree = (millions, round) => Math.max(0, 2 - round(Math.log10(millions)));

const FORMATS = {
  text: String,
  code: String,
  count: String,
  factor: (value) => fixed(value, 2),
  percent: (part) => `${fixed(100 * part, 2)}%`,
  share: (part) => `${fixed(100 * part, 0)}%`,
  macs: (macs) => {
    // What no network has.
    if (macs > 0 && macs < 1000) return fixed(macs, 0);
    if (macs >= 1e15) return Number(macs.toPrecision(3)).toExponential();
    const scale = 10 ** (macs > 0 ? digitsOfThree(macs / 1e6, Math.trunc) : 0);
    return `${Math.floor((macs * scale) / 1e6) / scale}M`;
  },
  params: (count) => `${fixed(count / 1e6, count > 0 ? Math.min(3, digitsOfThree(count / 1e6, Math.floor)) : 0)}M`,
  megabytes: (size) => `${fixed(size / 1e6, 2)} MB`,
  pixels: (side) => `${side}x${side}`,
  seconds: (value) => fixed(value, 1),
  milliseconds: (value) => `${fixed(1000 * value, 2)} ms`,
};
const isMissing = (value) => value === null || value === undefined;
const shown = (value, format) => (isMissing(value) ? "" : FORMATS[format](value));
// What a filter of a column compares with what somebody types, who has seen the cells.
const numberShown = (value, format) => (isMissing(value) ? null : parseFloat(shown(value, format)));
const exactly = (value, unit) => (isMissing(value) ? "" : `${value.toLocaleString("en")} ${unit}`);

// The grid of the app finds them here.
window.dashAgGridFunctions = { ...window.dashAgGridFunctions, shown, exactly, numberShown };
