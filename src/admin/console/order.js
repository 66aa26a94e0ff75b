// One order: found by route and key, its life as a picture, what may be done about it.

import { actionsOn } from "./act.js";
import { ask, orderLink, orderPath } from "./ask.js";
import { timeline } from "./timeline.js";
import { count, during, el, pill, since, trouble, until, when } from "./show.js";

const AGAIN_MS = 2000;
const FINAL = ["succeeded", "failed", "cancelled"];

export function order({ facts, rest, query }) {
  const [route, key] = rest.map(decodeURIComponent);
  const scope = query.get("scope") ?? "";
  const shown = el("div", { class: "stack" });
  const node = el("div", { class: "view" }, el("h1", {}, "Orders"), find(facts, route, key, scope), shown);
  let timer;
  let gone = false;
  let last;

  async function load() {
    clearTimeout(timer);
    // A tab nobody sees asks nothing.
    if (!document.hidden) await look();
    if (!gone) timer = setTimeout(load, AGAIN_MS);
  }

  async function look() {
    const { place } = orderPath(route, key, scope);
    const query = new URLSearchParams({ masked: "true", ...(scope && { scope }) });
    try {
      const document = await ask(`${place}?${query}`);
      if (gone) return;
      // Nothing is drawn anew under somebody's hands for nothing.
      const text = JSON.stringify(document);
      if (text !== last) draw(document);
      last = text;
    } catch (error) {
      if (gone) return;
      const nothing = error.status === 404;
      if (nothing && last !== null) draw(null);
      else if (!nothing) shown.replaceChildren(trouble(error.message));
      last = nothing ? null : undefined;
    }
  }

  function draw(found) {
    const about = { route, key, scope, found, facts, done: load };
    shown.replaceChildren(
      el("section", { class: "card" },
        el("div", { class: "row" },
          el("h2", { class: "number" }, key),
          found ? pill(found.state) : el("span", { class: "pill" }, "never seen, or expired")),
        found ? figures(found) : el("p", { class: "muted" },
          "No order of this number is known on this route. Look at route, number and scope; or cancel it before it arrives."),
        actionsOn(about)),
      ...(found ? [timeline(found), response(found)] : []));
  }

  if (key) load();
  return {
    title: key ? `Order ${key}` : "Orders",
    node,
    leave: () => {
      gone = true;
      clearTimeout(timer);
    },
  };
}

function find(facts, route, key, scope) {
  const routes = facts.routes.filter(({ kind }) => kind === "order").map(({ name }) => name);
  // An order may outlive its route's name.
  if (route && !routes.includes(route)) routes.push(route);
  const scoped = scope || facts.routes.some((one) => one.scoped);
  const form = el("form", { class: "find", role: "search" },
    el("label", {}, "Route", el("select", { name: "route" }, routes.map((name) =>
      el("option", { value: name, selected: name === route }, name)))),
    el("label", { class: "wide" }, "Order number", el("input", {
      name: "key", value: key ?? "", required: true, maxlength: 255, autocomplete: "off",
      spellcheck: "false", autocapitalize: "off",
    })),
    scoped && el("label", {}, "Scope", el("input", { name: "scope", value: scope, autocomplete: "off" })),
    el("button", { class: "primary" }, "Find"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const { route, key, scope } = Object.fromEntries(new FormData(form));
    location.hash = orderLink(route, key.trim(), scope?.trim());
  });
  return form;
}

function figures(found) {
  const served = found.duplicates_here;
  const facts = [
    ["Attempts", count(found.attempts)],
    ["Fence", count(found.fence)],
    ["First seen", when(found.created_at)],
    ["Last moved", when(found.updated_at)],
    [FINAL.includes(found.state) ? "Kept" : "Forgotten",
      found.expires_at ? (FINAL.includes(found.state) ? during : until)(found.expires_at) : "never"],
    ["Asked upstream", found.asks
      ? `${count(found.asks)} times${found.next_ask_at ? `, next ${until(found.next_ask_at)}` : ""}`
      : found.next_ask_at ? `first ${until(found.next_ask_at)}` : "never"],
    ["Duplicates answered", served.times
      ? `${count(served.times)} here, the last ${since(served.last_at)} ago`
      : "none here"],
    ["In log lines", el("code", {}, found.id)],
  ];
  return el("div", {},
    el("dl", { class: "figures" }, facts.map(([name, value]) =>
      el("div", {}, el("dt", {}, name), el("dd", {}, value)))),
    el("p", { class: "hint" }, "Duplicates are counted by this replica, in memory, since it started."));
}

function response({ response: stored }) {
  if (!stored) {
    return el("section", { class: "card" }, el("h2", {}, "Stored response"),
      el("p", { class: "muted" }, "There is none. Duplicates of a final order get its document."));
  }
  const headers = Object.entries(stored.headers).map(([name, value]) =>
    el("div", {}, el("dt", {}, name), el("dd", {}, [value].flat().join(", "))));
  return el("section", { class: "card" },
    el("div", { class: "row" }, el("h2", {}, "Stored response"),
      el("span", { class: "pill" }, String(stored.status)),
      el("span", { class: "pill" }, "secrets masked")),
    el("dl", { class: "headers" }, headers),
    stored.body == null
      ? el("p", { class: "muted" }, "Its body is not shown: it is of a kind that cannot be searched for secrets.")
      : el("pre", { tabindex: 0, "aria-label": "Body" }, pretty(stored.body)));
}

function pretty(body) {
  try {
    return JSON.stringify(JSON.parse(body), null, 2);
  } catch {
    return body;
  }
}
