// The line of events a second over the last two minutes. It survives a reload, and leaves a gap where nobody looked.
"use strict";

const WINDOW_MS = 120000;
const GAP_MS = 4000;
const STORED_AS = "whisperer.rate";
const WIDTH = 600;
const HEIGHT = 100;

class Sparkline {
  constructor(figure) {
    this.figure = figure;
    this.line = figure.querySelector(".line");
    this.area = figure.querySelector(".area");
    this.peak = figure.querySelector(".peak b");
    this.samples = Sparkline.restored();
  }

  static restored() {
    try {
      const samples = JSON.parse(sessionStorage.getItem(STORED_AS));
      return Array.isArray(samples) ? samples.filter((s) => Array.isArray(s) && s.every(Number.isFinite)) : [];
    } catch {
      return []; // storage may be forbidden; the line then starts anew
    }
  }

  // One sample: server time in ms, events a second.
  add(atMs, perSecond) {
    const last = this.samples.at(-1);
    if (last && last[0] >= atMs) this.samples = this.samples.filter(([at]) => at < atMs); // the server's clock went back
    this.samples.push([atMs, perSecond]);
    while (this.samples[0][0] < atMs - WINDOW_MS - GAP_MS) this.samples.shift();
    try {
      sessionStorage.setItem(STORED_AS, JSON.stringify(this.samples));
    } catch {
      // as above
    }
    this.draw(atMs);
  }

  draw(nowMs) {
    const peak = Math.max(...this.samples.map(([, value]) => value));
    const ceiling = Math.max(peak * 1.15, 1);
    const x = (at) => (WIDTH * (1 - (nowMs - at) / WINDOW_MS)).toFixed(1);
    const y = (value) => (HEIGHT - 1 - (HEIGHT - 3) * (value / ceiling)).toFixed(1);
    let line = "";
    let area = "";
    for (const run of this.runs()) {
      const points = run.map(([at, value]) => `${x(at)} ${y(value)}`).join("L");
      line += `M${points}`;
      area += `M${x(run[0][0])} ${HEIGHT}L${points}L${x(run.at(-1)[0])} ${HEIGHT}Z`;
    }
    this.line.setAttribute("d", line);
    this.area.setAttribute("d", area);
    this.peak.textContent = Formats.rate(peak);
    this.figure.hidden = false;
  }

  runs() {
    const runs = [];
    let before = -Infinity;
    for (const sample of this.samples) {
      if (sample[0] - before > GAP_MS) runs.push([]);
      runs.at(-1).push(sample);
      before = sample[0];
    }
    return runs;
  }
}
