// How things stand, as it happens: a stream, else asking every few seconds. A tab nobody sees asks
// nothing.

import { ask, events } from "./ask.js";

const AGAIN_MS = 3000;

// What was told so far: samples of the last 15 minutes, oldest first, and how things stand now.
export const told = { samples: [], now: null };

// Calls `changed` whenever there is something new, and `status` with "live", "polling" or "away".
export function watch(changed, status, refused) {
  let stop = new AbortController();
  const begin = () => {
    stop.abort();
    stop = new AbortController();
    if (!document.hidden) follow(changed, status, refused, stop.signal);
  };
  document.addEventListener("visibilitychange", begin);
  begin();
  return begin;
}

async function follow(changed, status, refused, signal) {
  while (!signal.aborted) {
    try {
      for await (const { name, data } of events("/admin/overview/stream", signal)) {
        take(name, data);
        status("live");
        changed();
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error.status === 401 || error.status === 403) return refused(error);
    }
    try {
      take("overview", await ask("/admin/overview", { signal }));
      status("polling");
      changed();
    } catch (error) {
      if (signal.aborted) return;
      if (error.status === 401 || error.status === 403) return refused(error);
      status("away");
    }
    await new Promise((go) => setTimeout(go, AGAIN_MS));
  }
}

function take(name, data) {
  told.now = data.now;
  if (name === "overview") {
    told.samples = data.samples;
    told.kept = data.kept;
    return;
  }
  const last = told.samples.at(-1);
  if (data.sample && (!last || data.sample.at > last.at)) {
    told.samples.push(data.sample);
    while (told.samples.length > told.kept) told.samples.shift();
  }
}
