// Small plots of the last 15 minutes.

import { clock, el, say, svg } from "./show.js";

const SECONDS = 900;
const HEIGHT = 100;

// `series`: [{name, shade, of(sample)}], drawn as lines, or as layers where `stacked`. `figure`
// writes a value.
export function plot({ title, note, series, stacked, figure }) {
  const paths = series.map(({ shade }) =>
    svg("path", { class: stacked ? `layer ${shade}` : `line ${shade}` }));
  const cursor = svg("line", { class: "cursor", y1: 0, y2: HEIGHT, visibility: "hidden" });
  const middle = svg("line", { class: "grid", x1: 0, x2: SECONDS, y1: HEIGHT / 2, y2: HEIGHT / 2 });
  const canvas = svg("svg", {
    viewBox: `0 0 ${SECONDS} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", tabindex: 0,
    "aria-label": title,
  }, middle, paths, cursor);
  const top = el("span", { class: "scale" });
  const at = el("span", { class: "muted" });
  const values = series.map(() => el("b"));
  const legend = el("ul", { class: "legend" }, series.map(({ name, shade }, index) =>
    el("li", {}, el("i", { class: `swatch ${shade}` }), name, " ", values[index])));
  const node = el("figure", { class: "card plot" },
    el("figcaption", {}, el("h2", {}, title), note && el("span", { class: "muted" }, note)),
    legend,
    el("div", { class: "canvas" }, top, canvas),
    el("p", { class: "axis muted" }, el("span", {}, "15 min ago"), at, el("span", {}, "now")));

  let samples = [];
  let picked = null;
  const from = () => (samples.at(-1)?.at ?? 0) - SECONDS * 1000;
  const x = (sample) => (sample.at - from()) / 1000;

  function pick(second) {
    const distance = (sample) => Math.abs(x(sample) - second);
    const nearest = samples.reduce((a, b) => (distance(b) < distance(a) ? b : a), samples.at(-1));
    picked = nearest ?? null;
    showPicked();
  }

  function showPicked() {
    const shown = picked && samples.includes(picked) ? picked : samples.at(-1);
    if (!shown) return;
    series.forEach(({ of }, index) => {
      const value = of(shown);
      say(values[index], value == null ? "–" : figure(value));
    });
    cursor.setAttribute("visibility", shown === picked ? "visible" : "hidden");
    cursor.setAttribute("x1", x(shown));
    cursor.setAttribute("x2", x(shown));
    say(at, shown === picked ? clock(shown.at) : "");
  }

  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    pick(((event.clientX - box.left) / box.width) * SECONDS);
  });
  const leave = () => {
    picked = null;
    showPicked();
  };
  canvas.addEventListener("pointerleave", leave);
  canvas.addEventListener("blur", leave);
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const index = samples.indexOf(picked ?? samples.at(-1)) + step;
    picked = samples[Math.min(samples.length - 1, Math.max(0, index))] ?? null;
    showPicked();
  });

  function draw(all) {
    samples = all.filter((sample) => x2(sample, all) >= 0);
    const heights = samples.map((sample) => {
      const each = series.map(({ of }) => of(sample));
      if (!stacked) return each;
      let sum = 0;
      return each.map((value) => (sum += value ?? 0));
    });
    const most = ceiling(Math.max(0, ...heights.flat().filter((value) => value != null)));
    say(top, figure(most));
    const y = (value) => HEIGHT - (value / most) * (HEIGHT - 2);
    series.forEach((_, index) => {
      const points = samples.map((sample, place) => ({
        x: x(sample), y: heights[place][index] == null ? null : y(heights[place][index]),
      }));
      const below = stacked && index > 0
        ? samples.map((sample, place) => ({ x: x(sample), y: y(heights[place][index - 1]) }))
        : samples.map((sample) => ({ x: x(sample), y: HEIGHT }));
      paths[index].setAttribute("d", stacked ? area(points, below) : line(points));
    });
    canvas.setAttribute("aria-label", summary());
    showPicked();
  }

  function summary() {
    const last = samples.at(-1);
    if (!last) return `${title}: nothing yet`;
    const words = series.map(({ name, of }) => {
      const value = of(last);
      return `${name} ${value == null ? "none" : figure(value)}`;
    });
    return `${title}, now: ${words.join(", ")}. Arrow keys look back.`;
  }

  return { node, draw };
}

function x2(sample, all) {
  return sample.at - (all.at(-1).at - SECONDS * 1000);
}

function line(points) {
  let pen = "M";
  let path = "";
  for (const point of points) {
    if (point.y == null) {
      pen = "M";
      continue;
    }
    path += `${pen}${point.x.toFixed(1)} ${point.y.toFixed(2)}`;
    // A lone point is a short stroke.
    if (pen === "M") path += "h0.1";
    pen = "L";
  }
  return path;
}

function area(points, below) {
  if (points.length === 0) return "";
  const on = (list) => list.map(({ x, y }) => `${x.toFixed(1)} ${y.toFixed(2)}`).join("L");
  return `M${on(points)}L${on(below.reverse())}Z`;
}

// The next of 1, 2, 5, 10, 20, 50, ...
function ceiling(most) {
  if (!(most > 0)) return 1;
  const size = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 5, 10].map((step) => step * size).find((step) => step >= most * 0.999);
}
