// Turns the list of snippets into tabs with copy buttons. Without this script they are shown one below the other.
"use strict";

(() => {
  const box = document.getElementById("snippets");
  const panels = [...box.querySelectorAll(".snippet")];
  const strip = document.createElement("div");
  strip.className = "tab-strip";
  strip.setAttribute("role", "tablist");
  strip.setAttribute("aria-label", "Language");

  const tabs = panels.map((panel) => {
    const tab = document.createElement("button");
    tab.type = "button";
    tab.id = `tab-${panel.id}`;
    tab.textContent = panel.dataset.title;
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", panel.id);
    tab.addEventListener("click", () => choose(tab));
    panel.setAttribute("role", "tabpanel");
    panel.removeAttribute("aria-label");
    panel.setAttribute("aria-labelledby", tab.id);
    panel.querySelector("h3").hidden = true;
    panel.append(copyButton(panel.querySelector("code")));
    strip.append(tab);
    return tab;
  });

  function choose(chosen) {
    tabs.forEach((tab, i) => {
      const on = tab === chosen;
      tab.setAttribute("aria-selected", on);
      tab.tabIndex = on ? 0 : -1;
      panels[i].hidden = !on;
    });
  }

  const STEPS = { ArrowRight: (i) => i + 1, ArrowLeft: (i) => i - 1, Home: () => 0, End: () => -1 };

  strip.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    if (!step) return;
    event.preventDefault();
    const next = tabs.at(step(tabs.indexOf(event.target)) % tabs.length);
    choose(next);
    next.focus();
  });

  function copyButton(code) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.setAttribute("aria-live", "polite");
    button.addEventListener("click", async () => {
      button.textContent = (await copy(code)) ? "Copied" : "Press Ctrl+C";
      setTimeout(() => (button.textContent = "Copy"), 2000);
    });
    return button;
  }

  // The clipboard API exists only on https and localhost; elsewhere the text is selected and copied the old way.
  async function copy(code) {
    try {
      await navigator.clipboard.writeText(code.textContent);
      return true;
    } catch {
      getSelection().selectAllChildren(code);
      return document.execCommand("copy");
    }
  }

  box.prepend(strip);
  choose(tabs[0]);
})();
