// How long leases were held, against LOCK_TTL: which TTL would be right.

import { count, el, say, span } from "./show.js";

// A lease is renewed at this part of it.
const RENEW_AT = 1 / 3;

export function lease(facts) {
  const routes = facts.routes.filter(({ kind }) => kind === "order");
  const choice = el("select", { "aria-label": "Route" },
    routes.map(({ name }) => el("option", { value: name }, name)));
  const words = el("p", {});
  const renewals = el("p", { class: "muted" });
  const bars = el("ol", { class: "bars" });
  const node = el("section", { class: "card" },
    el("div", { class: "row" }, el("h2", {}, "How long leases are held"), choice),
    words, bars, renewals);
  let drawn = "";
  let latest;

  function draw(now) {
    latest = now;
    const route = routes.find(({ name }) => name === choice.value);
    const held = now.leases.find(({ route: name }) => name === choice.value);
    const shape = JSON.stringify([route, held, now.renewals]);
    if (shape === drawn) return;
    drawn = shape;
    say(words, advice(route, held));
    say(renewals, renewed(now.renewals));
    bars.replaceChildren(...(held ? rows(held, route) : []));
  }
  choice.addEventListener("change", () => latest && draw(latest));
  return { node, draw };
}

function advice(route, held) {
  if (!route) return "No route has orders.";
  const ttl = `LOCK_TTL is ${span(route.lock_ttl)}`;
  if (!held?.held) return `${ttl}. No attempt ended since this replica started.`;
  const { p50, p99 } = held.held;
  const half = `Half of the attempts end within ${span(p50)}, 99 of 100 within ${span(p99)}.`;
  const first = route.lock_ttl * RENEW_AT;
  return p99 < first
    ? `${half} ${ttl}: nearly all end before the first renewal, at ${span(first)}. A dead holder is noticed after ${span(route.lock_ttl)}.`
    : `${half} ${ttl}: the lease is renewed every ${span(first)} while an attempt runs. A longer one would spare renewals, a shorter one would notice a dead holder sooner.`;
}

function renewed(renewals) {
  const told = Object.entries(renewals).map(([result, times]) => `${count(times)} ${result}`);
  return `Renewals since this replica started: ${told.join(", ")}.`;
}

// A row a bucket, and between them the marks of the TTL.
function rows({ bounds, counts }, { lock_ttl: ttl }) {
  const most = Math.max(1, ...counts);
  const marks = [
    { at: ttl * RENEW_AT, text: `${span(ttl * RENEW_AT)}: first renewal` },
    { at: ttl, text: `${span(ttl)}: LOCK_TTL` },
  ];
  return bounds.flatMap((bound, index) => {
    const below = index === 0 ? 0 : bounds[index - 1];
    const name = bound == null ? `over ${span(below)}` : `to ${span(bound)}`;
    const bar = el("i", { class: "bar" });
    bar.style.inlineSize = `${(counts[index] / most) * 100}%`;
    const row = el("li", {}, el("span", {}, name), el("span", { class: "track" }, bar),
      el("b", {}, count(counts[index])));
    const due = marks.filter(({ at }) => at >= below && at < (bound ?? Infinity));
    return [row, ...due.map(({ text }) => el("li", { class: "mark" }, text))];
  });
}
