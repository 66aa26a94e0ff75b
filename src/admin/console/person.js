// What needs a person, oldest first, page by page.

import { ask, orderLink } from "./ask.js";
import { el, say, since, trouble, until, when } from "./show.js";

const AGAIN_MS = 10_000;

const LISTS = {
  unknown: {
    name: "Unknown",
    about: "An attempt may have reached the payment service and nobody knows how it ended. Those of a route with a query are asked about; the rest wait for a callback or for you.",
    none: "Every outcome is known.",
  },
  cancelling: {
    name: "Cancelling",
    about: "A cancel was asked for and the payment service has not confirmed it yet. The cancel call is repeated until it does.",
    none: "No cancel is open.",
  },
  dead: {
    name: "Dead letters",
    about: "Accepted into the buffer and not sent after ten tries: nothing reached the payment service. They are unknown until you say otherwise.",
    none: "Every accepted order went out.",
  },
  alarms: {
    name: "Alarms",
    about: "What this replica raised since it started, the latest 200. The counter onceward_alarms_total has all of them, of all replicas.",
    none: "This replica raised no alarm.",
  },
};

export function person({ rest }) {
  const chosen = rest[0] in LISTS ? rest[0] : "unknown";
  const list = LISTS[chosen];
  const table = el("div", { class: "table" });
  const pages = el("p", { class: "buttons pages" });
  const tabs = Object.entries(LISTS).map(([key, { name }]) => el("a", {
    href: `#/person/${key}`, class: "tab", "aria-current": key === chosen && "page",
  }, name));
  const node = el("div", { class: "view" },
    el("h1", {}, "Needs a person"),
    el("nav", { class: "tabs", "aria-label": "Lists" }, tabs),
    el("p", { class: "muted" }, list.about),
    table, pages);

  // Marks of the pages before this one; the first has none.
  const marks = [];
  let last;
  let timer;
  let gone = false;

  async function load() {
    clearTimeout(timer);
    if (!document.hidden) {
      const after = marks.length ? `?after=${encodeURIComponent(marks.at(-1))}` : "";
      try {
        const page = await ask(`/admin/attention/${chosen}${after}`);
        if (gone) return;
        // Nothing is drawn anew under somebody's hands for nothing.
        const text = JSON.stringify(page);
        if (text !== last) show(page);
        last = text;
        for (const node of table.querySelectorAll("[data-age]")) say(node, since(node.dateTime));
      } catch (error) {
        if (gone) return;
        table.replaceChildren(trouble(error.message));
        last = undefined;
      }
    }
    timer = setTimeout(load, AGAIN_MS);
  }

  function show(page) {
    const rows = (page.orders ?? page.alarms).map(chosen === "alarms" ? alarm : order);
    table.replaceChildren(rows.length
      ? el("table", {}, head(chosen), el("tbody", {}, rows))
      : el("p", { class: "none" }, marks.length ? "Nothing more." : list.none));
    const turn = (mark) => () => {
      if (mark) marks.push(mark);
      else marks.pop();
      load();
    };
    pages.replaceChildren(
      marks.length && el("button", { type: "button", onclick: turn() }, "Older"),
      page.next && el("button", { type: "button", onclick: turn(page.next) }, "Younger"));
    for (const child of [...pages.childNodes]) if (child.nodeType === 3) child.remove();
  }

  load();
  return {
    title: "Needs a person",
    node,
    leave: () => {
      gone = true;
      clearTimeout(timer);
    },
  };
}

function head(chosen) {
  const names = chosen === "alarms"
    ? ["When", "Kind", "Order"]
    : ["For", "Order", "Why", "Attempts", "Asked", "Forgotten"];
  return el("thead", {}, el("tr", {}, names.map((name) => el("th", { scope: "col" }, name))));
}

function cell(name, ...content) {
  return el("td", { "data-name": name }, ...content);
}

function order({ route, key, scope, since: from, why, attempts, asks, expires_at: end }) {
  return el("tr", {},
    cell("For", el("time", { datetime: from, title: from, "data-age": true }, since(from))),
    cell("Order", link(route, key, scope)),
    cell("Why", why ?? "–"),
    cell("Attempts", String(attempts)),
    cell("Asked", asks ? `${asks} times` : "never"),
    cell("Forgotten", end ? until(end) : "never"));
}

function alarm({ at, kind, route, key, scope }) {
  return el("tr", {},
    cell("When", when(at)),
    cell("Kind", MEANING[kind] ? el("span", {}, el("b", {}, kind), ": ", MEANING[kind]) : kind),
    cell("Order", key ? link(route, key, scope) : "see the log"));
}

function link(route, key, scope) {
  return el("a", { href: orderLink(route, key, scope) }, `${route} ${key}`, scope && ` (${scope})`);
}

const MEANING = {
  "dead-letter": "a queued order could not be sent; it is in the list of dead letters",
  "outcome-not-stored": "an outcome could not be written while the lease held",
  "unknown-expiring": "an unknown order is about to be forgotten",
  "cancelling-expiring": "an order whose cancel was never confirmed is about to be forgotten",
  "callback-contradiction": "a repeated callback says something else than the first",
  "callback-against-order": "a callback does not fit where its order stands",
  "callback-names-no-order": "Onceward-Settles named no order",
  "success-on-cancelled": "a cancelled order was paid: pay it back",
  "success-on-failed": "a failed order was paid: look at it",
  "success-fenced": "paid by an attempt in whose place another had begun: look for a second payment",
  "not-cancellable": "an order that was to be cancelled is paid",
  "illegal-move": "an order succeeded too late to move its lifecycle",
};
