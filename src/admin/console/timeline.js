// An order's life as a picture: a ribbon of its states in proportion, and under it each move with
// its time, who made it and why.

import { clock, day, el, pill, span } from "./show.js";

const FINAL = ["succeeded", "failed", "cancelled"];

export function timeline({ history, created_at: created, asks }) {
  const cut = history.length > 0 && Date.parse(history[0].at) > Date.parse(created);
  // Asking leaves no line of its own: it is counted since the order last became so.
  const asked = history.findLastIndex(({ to }) => to in ASKED);
  return el("section", { class: "card" },
    el("h2", {}, "Timeline"),
    ribbon(history),
    cut && el("p", { class: "hint" }, "Its oldest lines are gone: a history is kept up to 2 kB."),
    el("ol", { class: "timeline" }, history.map((line, index) => step(line, history[index - 1], index === asked && asks))));
}

function step(line, before, asks) {
  const gap = before ? (Date.parse(line.at) - Date.parse(before.at)) / 1000 : null;
  const source = kind(line);
  return el("li", { class: `is-${line.to}` },
    el("div", { class: "at" },
      el("time", { datetime: line.at, title: day(line.at) }, clock(line.at)),
      gap != null && el("span", { class: "muted" }, `+${span(gap)}`)),
    el("div", { class: "what" },
      el("p", {}, pill(line.to), " ", el("b", {}, SAYS[source](line)),
        line.to === "in_flight" && el("span", { class: "fence" }, `fence ${line.fence}`)),
      el("p", { class: "muted" }, `${line.why} · by ${line.by}`),
      asks > 0 && el("p", { class: "asked" }, ASKED[line.to](asks))));
}

const times = (asks) => (asks === 1 ? "once" : `${asks} times`);

const ASKED = {
  unknown: (asks) => `the payment service was asked about it ${times(asks)}`,
  cancelling: (asks) => `the payment service was told to cancel it ${times(asks)}`,
};

// Who or what moved it, as far as its line tells.
function kind({ from, to, by, why }) {
  if (by === "admin" || by.startsWith("admin/")) return "person";
  if (to === "in_flight") return "attempt";
  if (why === "accepted") return "queue";
  if (why.startsWith("dead letter")) return "dead";
  if (why.startsWith("a callback")) return "callback";
  if (why === "lease lost") return "lapse";
  if (why === "its caller asked") return "caller";
  if (why === "not resolved in time") return "late";
  if (why.startsWith("attempt ended")) return "ended";
  if (why.startsWith("it was paid: ")) return "paid";
  if (from === "in_flight" && (to === "none" || to === "queued")) return "back";
  if (from === "in_flight") return "answer";
  if (from === "cancelling") return "cancel";
  return "query";
}

const SAYS = {
  person: ({ by }) => (by === "admin" ? "an operator said so" : `${by.slice(6)} said so`),
  attempt: () => "sent to the payment service",
  queue: () => "accepted into the buffer",
  dead: () => "given up after ten tries",
  callback: () => "settled by a callback",
  lapse: () => "its holder died: the lease ran out",
  caller: () => "its caller cancelled it",
  late: () => "nobody knew in time: to be cancelled",
  ended: () => "its attempt ended meanwhile",
  paid: () => "told to be paid meanwhile",
  back: () => "given back, nothing was done",
  answer: ({ to }) => (to === "unknown" ? "no clear answer" : "the payment service answered"),
  cancel: () => "the cancel call was answered",
  query: () => "the payment service was asked",
};

// States in proportion to how long they lasted, short ones wide enough to be seen.
function ribbon(history) {
  const pieces = history.map((line, index) => {
    const next = history[index + 1]?.at;
    const ended = !next && FINAL.includes(line.to);
    const ms = Math.max(0, (next ? Date.parse(next) : Date.now()) - Date.parse(line.at));
    const lasted = ended ? "for good" : span(ms / 1000);
    const piece = el("li", { class: `is-${line.to}`, title: `${line.to.replace("_", " ")} ${lasted}` },
      el("i", {}), el("span", {}, lasted));
    piece.style.flexGrow = Math.log10(10 + (ended ? 0 : ms));
    return piece;
  });
  return el("ol", { class: "ribbon", "aria-label": "How long each state lasted" }, pieces);
}
