// How values are written, as the formats of bft_nas.record.columns write them; a test holds one against the other.
"use strict";

// Of two numbers that are as near, Python takes the even one and toFixed the larger one.
function fixed(value, digits) {
  const text = value.toFixed(digits);
  const isTie = new RegExp(`\\.\\d{${digits}}50*$`).test(value.toFixed(digits + 40));
  return isTie && Number(text.at(-1)) % 2 ? (Number(text) - 10 ** -digits).toFixed(digits) : text;
}
const digitsOfThree = (number) => Math.max(0, 2 - Math.floor(Math.log10(number)));
function threeDigits(number, units) {
  if (number < 999.5) return `${fixed(number, 0)}${units[0]}`;
  const power = number < 1e5 ? 1 : number < 999.5e6 ? 2 : 3;
  const value = number / 1000 ** power;
  const digits = digitsOfThree(value);
  const text = fixed(value, digits);
  // Rounded up, 9.999 has a digit before the point that it had not.
  return `${Number(text) >= 10 ** (3 - digits) ? fixed(value, Math.max(0, digits - 1)) : text}${units[power]}`;
}

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
    const scale = 10 ** (macs > 0 ? digitsOfThree(macs / 1e6) : 0);
    return `${Math.floor((macs * scale) / 1e6) / scale}M`;
  },
  params: (count) => threeDigits(count, ["", "k", "M", "G"]),
  bytes: (size) => threeDigits(size, [" bytes", " kB", " MB", " GB"]),
  pixels: (side) => `${side}x${side}`,
  seconds: (value) => `${fixed(value, 1)} s`,
  milliseconds: (value) => `${fixed(1000 * value, 2)} ms`,
};
const isMissing = (value) => value === null || value === undefined;
const shown = (value, format) => (isMissing(value) ? "" : FORMATS[format](value));
// What a filter of a column compares with what somebody types, who has seen the cells: most of them in millions.
const POWERS = { " bytes": -6, k: -3, " kB": -3, G: 3, " GB": 3 };
function numberShown(value, format) {
  if (isMissing(value)) return null;
  const text = shown(value, format);
  return Number(`${parseFloat(text)}e${POWERS[text.replace(/^[-.\d]*/, "")] ?? 0}`);
}
const exactly = (value, unit) => (isMissing(value) ? "" : `${value.toLocaleString("en")} ${unit}`);

// The grid of the app finds them here.
window.dashAgGridFunctions = { ...window.dashAgGridFunctions, shown, exactly, numberShown };
