// Brings the sections marked data-refresh up to date: fetches this same page again and applies what differs, so that
// a link keeps its focus and a selection stays. The server escaped every name; the page's policy lets no script in.
"use strict";

const Refresh = (() => {
  const PATIENCE_MS = 5000;
  const SLOWEST_MS = 30000;

  async function now() {
    const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
    if (!answer.ok) throw new Error("reconnecting");
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (scripts(fresh) !== scripts(document)) return location.reload(); // a new release
    for (const region of document.querySelectorAll("[data-refresh]")) {
      const next = fresh.getElementById(region.id);
      if (next) morph(region, next);
    }
    tellTimes();
  }

  const scripts = (page) => [...page.scripts].map((script) => script.getAttribute("src")).join();

  function morph(mine, next) {
    for (const { name } of [...mine.attributes]) {
      if (!next.hasAttribute(name) && name !== "open" && name !== "data-zoned") mine.removeAttribute(name);
    }
    for (const { name, value } of next.attributes) {
      const zoned = name === "title" && mine.dataset.zoned && mine.dateTime === next.getAttribute("datetime");
      if (!zoned && mine.getAttribute(name) !== value) mine.setAttribute(name, value);
    }
    if (mine.localName === "time" && mine.dateTime !== next.dateTime) delete mine.dataset.zoned;
    children(mine, next);
  }

  // Elements with a data-key are found again wherever they went; the others by their place.
  function children(mine, next) {
    const known = new Map();
    for (const child of mine.children) if (child.dataset.key) known.set(child.dataset.key, child);
    let place = mine.firstChild;
    for (const wanted of [...next.childNodes]) {
      const key = wanted.dataset && wanted.dataset.key;
      const match = key ? known.get(key) : alike(place, wanted) ? place : null;
      if (!match) {
        mine.insertBefore(document.importNode(wanted, true), place);
        if (key && known.size) (place ? place.previousSibling : mine.lastChild).classList.add("fresh");
        continue;
      }
      if (match === place) place = place.nextSibling;
      else mine.insertBefore(match, place);
      if (match.nodeType === Node.ELEMENT_NODE) morph(match, wanted);
      else if (match.data !== wanted.data) match.data = wanted.data;
    }
    while (place) {
      const gone = place;
      place = place.nextSibling;
      gone.remove();
    }
  }

  const alike = (a, b) => a && a.nodeName === b.nodeName && !(a.dataset && a.dataset.key);

  // Times are shown in the viewer's own zone.
  function tellTimes() {
    for (const time of document.querySelectorAll("time[datetime]")) {
      if (!time.dataset.zoned && time.dateTime) writeTime(time, Date.parse(time.dateTime));
    }
  }

  // A page that names an interval keeps itself current while somebody looks.
  const everyMs = Number(document.body.dataset.refreshEvery);
  let timer = 0;
  let failures = 0;

  async function again() {
    clearTimeout(timer);
    if (document.hidden) return;
    try {
      await now();
      failures = 0;
    } catch {
      failures += 1;
    }
    document.body.classList.toggle("stale", failures > 2);
    timer = setTimeout(again, Math.min(everyMs * 2 ** failures, SLOWEST_MS));
  }

  if (everyMs) {
    document.addEventListener("visibilitychange", again);
    timer = setTimeout(again, everyMs);
  }
  tellTimes();

  return { now };
})();
