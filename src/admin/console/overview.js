// How things stand, and how the last quarter of an hour went.

import { ask } from "./ask.js";
import { told } from "./live.js";
import { plot } from "./plot.js";
import { lease } from "./lease.js";
import { clock, count, el, hide, rate, say, span, trouble } from "./show.js";

const POSTURE_MS = 60_000;

export function overview({ facts }) {
  const tiles = [
    tile("Requests/s", (now) => rate(now.first + now.replay + now.refused + now.other),
      (now) => `${rate(now.first)} first, ${rate(now.replay)} replayed`),
    tile("Waiting", (now) => count(now.waiting), () => "duplicates, for the first one's answer"),
    tile("In flight", (now) => count(now.in_flight), () => "of all replicas"),
    tile("Queued", (now) => count(now.queued),
      (now) => (now.queued > 0 ? `the oldest ${span(now.oldest_queued)}` : "the buffer is empty")),
    tile("Unknown", (now) => count(now.unknown),
      (now) => (now.unknown > 0 ? `the oldest ${span(now.oldest_unknown)}` : "every outcome is known"),
      (now) => (now.unknown > 0 ? "warn" : ""), "#/person/unknown"),
    tile("Cancelling", (now) => count(now.cancelling), () => "not confirmed upstream",
      (now) => (now.cancelling > 0 ? "warn" : ""), "#/person/cancelling"),
    tile("Alarms", (now) => count(sum(now.alarms)), () => "since this replica started",
      (now) => (sum(now.alarms) > 0 ? "bad" : ""), "#/person/alarms"),
    tile("Redis errors/s", (now) => rate(now.redis_errors), () => "commands without an answer",
      (now) => (now.redis_errors > 0 ? "bad" : "")),
  ];
  const plots = [
    plot({
      title: "Requests a second", note: "this replica", stacked: true, figure: rate,
      series: [
        { name: "first", shade: "s1", of: (sample) => sample.first },
        { name: "replayed", shade: "s2", of: (sample) => sample.replay },
        { name: "refused", shade: "s3", of: (sample) => sample.refused },
        { name: "other", shade: "s4", of: (sample) => sample.other },
      ],
    }),
    plot({
      title: "Open orders", note: "all replicas", figure: count,
      series: [
        { name: "in flight", shade: "s1", of: (sample) => sample.in_flight },
        { name: "queued", shade: "s2", of: (sample) => sample.queued },
        { name: "unknown", shade: "s3", of: (sample) => sample.unknown },
        { name: "cancelling", shade: "s5", of: (sample) => sample.cancelling },
        { name: "waiting", shade: "s4", of: (sample) => sample.waiting },
      ],
    }),
    delays("Payment service", "how long it took to answer", "upstream"),
    delays("Redis", "any command", "redis"),
  ];
  const leases = lease(facts);
  const ended = el("p", { class: "ended muted" });
  const posture = el("section", { class: "card posture" }, el("h2", {}, "Redis posture"),
    el("p", { class: "muted" }, "asking the doctor"));
  const node = el("div", { class: "view" },
    el("h1", {}, "Overview"),
    el("div", { class: "tiles" }, tiles.map(({ node }) => node)),
    ended,
    el("div", { class: "plots" }, plots.map(({ node }) => node)),
    el("div", { class: "plots" }, leases.node, posture));

  function update() {
    const { now, samples } = told;
    if (!now) return;
    for (const { draw } of tiles) draw(now);
    const all = [...samples, now];
    for (const { draw } of plots) draw(all);
    leases.draw(now);
    const words = Object.entries(now.settled).map(([state, times]) => `${count(times)} ${state}`);
    say(ended, `Attempts ended since this replica started: ${words.join(", ")}.`);
  }

  let timer;
  async function examine() {
    if (!document.hidden) {
      try {
        showPosture(posture, await ask("/admin/posture"));
      } catch (error) {
        posture.replaceChildren(el("h2", {}, "Redis posture"), trouble(error.message));
      }
    }
    timer = setTimeout(examine, POSTURE_MS);
  }
  examine();
  update();
  return { title: "Overview", node, update, leave: () => clearTimeout(timer) };
}

function sum(counts) {
  return Object.values(counts).reduce((all, one) => all + one, 0);
}

function tile(name, figure, note, mood = () => "", link) {
  const number = el("b", {}, "–");
  const words = el("span", { class: "muted" });
  const node = el(link ? "a" : "div", { class: "tile", href: link },
    el("span", { class: "name" }, name), number, words);
  return {
    node,
    draw(now) {
      say(number, figure(now));
      say(words, note(now));
      const wanted = `tile ${mood(now)}`.trim();
      if (node.className !== wanted) node.className = wanted;
    },
  };
}

function delays(title, note, what) {
  return plot({
    title, note, figure: span,
    series: [
      { name: "half within", shade: "s1", of: (sample) => sample[what]?.p50 },
      { name: "99 % within", shade: "s3", of: (sample) => sample[what]?.p99 },
    ],
  });
}

// Drawn anew only where something else was found.
let shown;

const RANK = { fail: 0, warn: 1, ok: 2 };

function showPosture(section, { at, findings }) {
  const text = JSON.stringify(findings);
  const known = section.querySelector("[data-at]");
  if (known && text === shown) return say(known, `as of ${clock(at)}`);
  shown = text;
  const of = (verdict) => findings.filter((finding) => finding.verdict === verdict).length;
  const sorted = findings.toSorted((a, b) => RANK[a.verdict] - RANK[b.verdict]);
  const item = ({ verdict, check, found, advice }) => el("li", {},
    el("span", { class: `verdict ${verdict}` }, verdict),
    el("div", {}, el("b", {}, check), " ", found,
      advice && el("p", { class: "muted" }, advice)));
  const fine = sorted.filter(({ verdict }) => verdict === "ok");
  const rest = sorted.filter(({ verdict }) => verdict !== "ok");
  const open = section.querySelector("details")?.open ?? false;
  section.replaceChildren(
    el("h2", {}, "Redis posture"),
    el("p", { class: "muted" },
      `${of("fail")} fail, ${of("warn")} warn, ${of("ok")} ok, `,
      el("span", { "data-at": true }, `as of ${clock(at)}`)),
    el("ul", { class: "findings" }, rest.map(item)),
    el("details", { open }, el("summary", {}, `${fine.length} checks are fine`),
      el("ul", { class: "findings" }, fine.map(item))));
  hide(section.querySelector("ul"), rest.length === 0);
}
