// Elements and figures. Texts are texts: nothing here, and nothing that uses it, turns a text into
// markup.

const SVG = "http://www.w3.org/2000/svg";

export function el(name, attributes, ...children) {
  return filled(document.createElement(name), attributes, children);
}

export function svg(name, attributes, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child != null && child !== false));
  return node;
}

// Sets a text only where it changed, so that nothing is drawn again for nothing.
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function hide(node, hidden) {
  if (node.hidden !== hidden) node.hidden = hidden;
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

export function count(number) {
  return whole.format(number ?? 0);
}

export function rate(number) {
  return number > 0 && number < 10 ? tenths.format(number) : whole.format(number ?? 0);
}

// Seconds in the unit a person would use.
export function span(seconds) {
  if (seconds == null || Number.isNaN(seconds)) return "–";
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"], [0.001, "ms"]];
  for (const [size, unit] of units) {
    const number = seconds / size;
    if (number >= 0.9995) {
      return `${number < 10 ? tenths.format(number) : whole.format(number)} ${unit}`;
    }
  }
  return seconds > 0 ? `${whole.format(seconds * 1e6)} µs` : "0 s";
}

export function since(time) {
  return span(Math.max(0, (Date.now() - Date.parse(time)) / 1000));
}

function left(time) {
  return (Date.parse(time) - Date.now()) / 1000;
}

export function until(time) {
  return left(time) > 0 ? `in ${span(left(time))}` : "now";
}

export function during(time) {
  return `for ${span(Math.max(0, left(time)))}`;
}

export function clock(time) {
  return new Date(time).toLocaleTimeString([], { hour12: false });
}

export function day(time) {
  return new Date(time).toLocaleString([], { hour12: false });
}

export function when(time) {
  if (!time) return "–";
  const today = new Date(time).toDateString() === new Date().toDateString();
  return el("time", { datetime: time, title: time }, today ? clock(time) : day(time));
}

export function pill(state) {
  return el("span", { class: `pill is-${state}` }, state.replace("_", " "));
}

export function trouble(text) {
  return el("p", { class: "trouble", role: "alert" }, text);
}
