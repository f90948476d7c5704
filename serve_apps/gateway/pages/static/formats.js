// How the page writes numbers, sizes and times: the twins of formats.py, name by name.
"use strict";

const THIN = "\u202f"; // narrow no-break space
const DASH = "–";
const SIZES = ["B", "KiB", "MiB", "GiB", "TiB"];
const DAY_S = 86400;

const Formats = {
  count: (value) => String(value).replace(/\B(?=(\d{3})+$)/g, THIN),

  rate: (value) => (value > 0 && value < 9.95 ? tenths(value) : Formats.count(Math.floor(value + 0.5))),

  size(value) {
    let amount = value;
    let unit = 0;
    while (amount >= 999.5 && unit < SIZES.length - 1) {
      amount /= 1024;
      unit += 1;
    }
    const digits = unit && amount < 9.95 ? tenths(amount) : String(Math.floor(amount + 0.5));
    return digits + THIN + SIZES[unit];
  },

  share: (value) => Math.floor(value * 100) + THIN + "%",

  user: (value) => (/^[ua]:/.test(value) ? value.slice(2) : value),

  text: (value) => String(value),
};

// Halves round up, as on the server.
function tenths(value) {
  return (Math.floor(value * 10 + 0.5) / 10).toFixed(1);
}

function ago(thenMs, nowMs) {
  const seconds = Math.floor((nowMs - thenMs) / 1000);
  if (seconds < 1) return "just now";
  for (const [limit, unitS, unit] of [[60, 1, "s"], [3600, 60, "min"], [DAY_S, 3600, "h"], [30 * DAY_S, DAY_S, "d"]]) {
    if (seconds < limit) return Math.floor(seconds / unitS) + THIN + unit + " ago";
  }
  return iso(thenMs).slice(0, 10);
}

function iso(ms) {
  // Years 1 to 9999, as on the server.
  const inside = Math.min(Math.max(ms, -62135596800000), 253402300799000);
  return new Date(inside).toISOString().slice(0, 19) + "Z";
}

const viewersZone = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });

// Puts a value into an element, touching only what changed, so that a selection survives the next update.
function write(element, value, nowMs) {
  const format = element.dataset.format;
  if (format === "backfill") return writeBackfill(element, value);
  if (format === "ago") writeTime(element, value);
  if (format === "state") element.dataset.state = value;
  if (format === "user") element.classList.toggle("anonymous", value.startsWith("a:"));
  const text = textOf(format, value, nowMs);
  if (element.textContent !== text) element.textContent = text;
}

function textOf(format, value, nowMs) {
  if (value === null) return DASH;
  if (format === "ago") return ago(value, nowMs);
  return (Formats[format] || Formats.text)(value);
}

function writeTime(element, ms) {
  const stamp = iso(ms);
  if (element.dateTime === stamp && element.dataset.zoned) return;
  element.dateTime = stamp;
  element.title = viewersZone.format(new Date(stamp));
  element.dataset.zoned = "yes";
}

function writeBackfill(element, share) {
  element.hidden = share === null;
  if (share !== null) element.querySelector("progress").value = share;
}
