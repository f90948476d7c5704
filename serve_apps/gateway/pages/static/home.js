// Keeps the page current: asks the server once a second while somebody looks, and recovers by itself after an outage.
// It writes text and attributes only, never markup: names of events and users are written by strangers. What is drawn on
// the server, the loop, is left to refresh.js.
"use strict";

(() => {
  const LIVE = "/internal/live";
  const EVERY_MS = 1000;
  const PATIENCE_MS = 5000;
  const SLOWEST_MS = 5000;
  const SPEAK_EVERY_MS = 20000;

  const WORDS = {
    live: "Live",
    paused: "Paused",
    reconnecting: "Reconnecting…",
    "signed-out": "Signed out: reload to sign in",
  };

  const pill = document.getElementById("connection");
  const sparkline = new Sparkline(document.getElementById("chart"));
  let timer = 0;
  let failures = 0;
  let asking = false;
  let first = true;
  let spokenAt = 0;

  async function poll() {
    if (asking || document.hidden) return;
    asking = true;
    clearTimeout(timer);
    try {
      const answer = await fetch(LIVE, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
      if (answer.status === 401 || answer.status === 403) throw new Error("signed-out");
      if (!answer.ok) throw new Error("reconnecting");
      show(await answer.json());
      await Refresh.now();
      failures = 0;
      connection(document.hidden ? "paused" : "live");
    } catch (error) {
      failures += 1;
      connection(error.message === "signed-out" ? "signed-out" : "reconnecting");
    }
    asking = false;
    timer = setTimeout(poll, Math.min(EVERY_MS * 2 ** Math.max(failures - 2, 0), SLOWEST_MS));
  }

  function connection(state) {
    if (pill.dataset.connection === state) return;
    pill.dataset.connection = state;
    pill.firstElementChild.textContent = WORDS[state];
  }

  function show(live) {
    if (live.version !== document.body.dataset.version) return location.reload(); // a new release, new scripts
    const rejected = Object.entries(live.events_rejected).map(([code, events]) => ({ code, events }));
    rejected.sort((a, b) => b.events - a.events || (a.code < b.code ? -1 : 1));
    const view = { ...live, rejected, n_rejected: rejected.reduce((sum, row) => sum + row.events, 0) };

    fill(document.getElementById("totals"), view, live.now);
    fill(document.getElementById("started"), view, live.now);
    for (const table of document.querySelectorAll("[data-list]")) list(table, view[table.dataset.list], live.now);
    warn(live.warnings);
    sparkline.add(live.now, live.events_per_s);
    speak(view);
    first = false;
  }

  function fill(scope, row, now) {
    for (const element of scope.querySelectorAll("[data-field]")) write(element, row[element.dataset.field], now);
  }

  // Rows are found again by their key, so that what did not change stays where it is.
  function list(table, items, now) {
    const body = table.tBodies[0];
    const template = body.querySelector("template");
    for (const row of [...body.rows]) if (!row.dataset.key) row.remove(); // the snapshot's
    const known = new Map([...body.rows].map((row) => [row.dataset.key, row]));
    const keyFields = table.dataset.key.split(" ");
    const seen = new Map();
    let place = body.firstElementChild;

    for (const item of items.slice(0, Number(table.dataset.limit) || undefined)) {
      const base = JSON.stringify(keyFields.map((field) => item[field]));
      const copies = seen.get(base) || 0;
      seen.set(base, copies + 1);
      const key = base + copies;
      let row = known.get(key);
      if (row) {
        known.delete(key);
      } else {
        row = template.content.firstElementChild.cloneNode(true);
        row.dataset.key = key;
        if (!first) row.classList.add("fresh");
      }
      fill(row, item, now);
      if (row === place) place = place.nextElementSibling;
      else body.insertBefore(row, place);
    }
    for (const row of known.values()) row.remove();
    table.hidden = items.length === 0;
    document.querySelector(`[data-empty="${table.dataset.list}"]`).hidden = items.length > 0;
  }

  function warn(warnings) {
    const box = document.getElementById("warnings");
    box.hidden = warnings.length === 0;
    const shown = [...box.children].map((line) => line.textContent);
    if (JSON.stringify(shown) === JSON.stringify(warnings)) return;
    box.replaceChildren(
      ...warnings.map((text) => {
        const line = document.createElement("li");
        line.textContent = text;
        return line;
      }),
    );
  }

  // A screen reader hears the counters now and then, not once a second.
  function speak(view) {
    if (view.now - spokenAt < SPEAK_EVERY_MS && view.now >= spokenAt) return;
    spokenAt = view.now;
    document.getElementById("spoken").textContent =
      `${Formats.rate(view.events_per_s)} events a second, ${view.events_accepted} accepted, ` +
      `${view.events_duplicate} duplicates, ${view.n_rejected} rejected, ${view.users} users.`;
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      clearTimeout(timer);
      connection("paused");
    } else {
      poll();
    }
  });

  poll();
})();
