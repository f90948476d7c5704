// Send your first events from Node 18 or later, or a browser, with nothing but fetch.
//
//   WRITE_KEY=wk_... node examples/send_events.mjs
//
// URL=http://127.0.0.1:8000 is the default. Any Segment library works as well, pointed at the same URL.

const url = process.env.URL ?? "http://127.0.0.1:8000";
const writeKey = process.env.WRITE_KEY;

// One call of the Tracking API. The messageId makes it safe to send the same event again.
async function send(call, event) {
  const response = await fetch(`${url}/v1/${call}`, {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      Authorization: "Basic " + btoa(`${writeKey}:`),
    },
    body: JSON.stringify({
      messageId: crypto.randomUUID(),
      timestamp: new Date().toISOString(),
      ...event,
    }),
  });
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
  return response.json();
}

await send("identify", { userId: "ada", traits: { email: "ada@example.com", plan: "team" } });
console.log(
  JSON.stringify(
    await send("track", { userId: "ada", event: "Report Exported", properties: { format: "pdf", pages: 12 } }),
  ),
);
