// Asks the admin plane. The token somebody typed lives as long as this tab and goes nowhere but
// into the Authorization header.

const TOKEN = "onceward-token";
const ACTOR = "onceward-actor";

export class Refused extends Error {
  constructor(status, document) {
    super(document?.detail ?? document?.title ?? `answered ${status}`);
    this.status = status;
    this.document = document;
  }
}

export function keepToken(token) {
  sessionStorage.setItem(TOKEN, token);
}

// Whether there was one.
export function forgetToken() {
  const had = sessionStorage.getItem(TOKEN) !== null;
  sessionStorage.removeItem(TOKEN);
  return had;
}

export function actor() {
  return sessionStorage.getItem(ACTOR) ?? "";
}

export function keepActor(name) {
  sessionStorage.setItem(ACTOR, name);
}

async function send(path, { method = "GET", body, signal } = {}) {
  const headers = new Headers();
  const token = sessionStorage.getItem(TOKEN);
  if (token) headers.set("Authorization", `Bearer ${token}`);
  if (method !== "GET") headers.set("Onceward-Actor", actor().replace(/[^\x20-\x7e]/g, ""));
  if (body !== undefined) headers.set("Content-Type", "application/json");
  const response = await fetch(path, {
    method,
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
    signal,
    cache: "no-store",
    credentials: "omit",
    redirect: "error",
  });
  if (response.ok) return response;
  throw new Refused(response.status, await response.json().catch(() => null));
}

// The answer's document; nothing for an answer without one.
export async function ask(path, options) {
  const response = await send(path, options);
  return response.status === 204 ? null : response.json();
}

// Server-sent events over fetch, since EventSource cannot carry a token. Ends with the stream.
export async function* events(path, signal) {
  const response = await send(path, { signal });
  const pieces = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { done, value } = await pieces.read();
      if (done) return;
      text += value;
      for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
        const event = { name: "message", data: "" };
        for (const line of text.slice(0, end).split("\n")) {
          if (line.startsWith("event: ")) event.name = line.slice(7);
          if (line.startsWith("data: ")) event.data += line.slice(6);
        }
        text = text.slice(end + 2);
        yield { name: event.name, data: JSON.parse(event.data) };
      }
    }
  } finally {
    pieces.cancel().catch(() => {});
  }
}

export function orderPath(route, key, scope) {
  const place = `/admin/orders/${encodeURIComponent(route)}/${encodeURIComponent(key)}`;
  return { place, query: scope ? `?scope=${encodeURIComponent(scope)}` : "" };
}

export function orderLink(route, key, scope) {
  const place = `#/order/${encodeURIComponent(route)}/${encodeURIComponent(key)}`;
  return scope ? `${place}?scope=${encodeURIComponent(scope)}` : place;
}
