// Has a model write variants of the template, and shows their text as it comes. Without this script there is the command.
"use strict";

(() => {
  const form = document.getElementById("variants");
  const log = document.getElementById("variants-log");
  const text = document.getElementById("variants-text");
  form.hidden = false;

  function say(line) {
    const entry = document.createElement("li");
    entry.textContent = line;
    log.append(entry);
  }

  function heard(name, document_) {
    if (name === "text") {
      text.hidden = false;
      text.textContent += document_.text;
    } else if (name === "variant") {
      text.textContent = "";
      const score = document_.score === null ? "" : `, quality ${document_.score.toFixed(2)} of 5`;
      say(
        document_.draft === null
          ? `Variant ${document_.number} is not used: ${document_.ruling}. ${document_.detail}`
          : `Variant ${document_.number} is the draft ${document_.draft}${score}.`,
      );
    } else if (name === "done") {
      text.hidden = true;
    }
  }

  async function write() {
    const answer = await fetch(form.dataset.path, {
      method: "POST",
      headers: { Accept: "text/event-stream", "Content-Type": "application/json" },
      body: JSON.stringify({
        brief: form.elements.brief.value,
        locale: form.elements.locale.value || null,
        variants: Number(form.elements.variants.value),
      }),
    });
    if (!answer.ok) {
      const refusal = await answer.json().catch(() => ({}));
      say(answer.status === 401 ? "Sign in first: drafts are written by people." : refusal.message || "It did not work.");
      return;
    }
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let waiting = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const blocks = (waiting + value).split("\n\n");
      waiting = blocks.pop();
      for (const block of blocks) {
        const [name, data] = block.split("\n");
        heard(name.slice("event: ".length), JSON.parse(data.slice("data: ".length)));
      }
    }
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    log.replaceChildren();
    text.textContent = "";
    form.elements.write.disabled = true;
    try {
      await write();
    } catch {
      say("The connection broke off. Drafts that are complete are kept.");
    } finally {
      form.elements.write.disabled = false;
    }
  });
})();
