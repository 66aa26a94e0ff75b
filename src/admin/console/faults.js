// Accidents on demand, while FAULTS is on: the rules, how often each fired, ready ones, a form.

import { ACCIDENTS, KINDS, PLACES, sentence } from "./accidents.js";
import { ask } from "./ask.js";
import { confirm } from "./act.js";
import { count, el, say, trouble } from "./show.js";

const AGAIN_MS = 2000;

const at = (id) => `/admin/faults/${encodeURIComponent(id)}`;

export function faults({ facts }) {
  const rules = el("div", { class: "stack" });
  const problem = el("div", {});
  const acts = facts.role === "operator";
  const node = el("div", { class: "view" },
    el("h1", {}, "Faults"),
    el("p", { class: "muted" }, "Accidents on demand, in this replica only. Never in front of real money."),
    problem,
    el("section", { class: "card" }, el("h2", {}, "Rules in force"), rules),
    acts ? ready(put) : el("p", { class: "hint" }, "This token may look. Putting faults takes the one of ONCEWARD_ADMIN_TOKEN."),
    acts && form(facts, put));
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
    try {
      const { faults: all } = await ask("/admin/faults");
      if (gone) return;
      const text = JSON.stringify(all);
      if (text !== last) draw(all);
      last = text;
    } catch (error) {
      if (gone) return;
      rules.replaceChildren(trouble(error.message));
      last = undefined;
    }
  }

  function draw(all) {
    const list = all.map((rule) => el("li", { class: rule.over ? "is-over" : "" },
      el("div", {}, el("b", {}, rule.id), el("p", {}, sentence(rule))),
      el("p", { class: "fired" }, el("b", {}, count(rule.fired)), rule.over ? "fired, over" : "fired"),
      acts && el("button", {
        type: "button", "aria-label": `Take off ${rule.id}`,
        onclick: () => tried(() => ask(at(rule.id), { method: "DELETE" })),
      }, "Take off")));
    rules.replaceChildren(...(all.length
      ? [el("ul", { class: "rules" }, list),
        acts ? el("p", { class: "buttons" }, el("button", {
          type: "button", class: "danger",
          onclick: () => tried(() => ask("/admin/faults", { method: "DELETE" })),
        }, "Take all off")) : ""]
      : [el("p", { class: "muted" }, "None. Everything goes as it should.")]));
  }

  async function put(id, rule) {
    await tried(() => ask(at(id), { method: "PUT", body: rule }));
  }

  async function tried(what) {
    try {
      await what();
      problem.replaceChildren();
    } catch (error) {
      problem.replaceChildren(trouble(error.message));
    }
    await load();
  }

  load();
  return {
    title: "Faults",
    node,
    leave: () => {
      gone = true;
      clearTimeout(timer);
    },
  };
}

function ready(put) {
  const key = el("input", { name: "only", autocomplete: "off", spellcheck: "false" });
  const whom = () => (key.value.trim() ? { key: key.value.trim() } : {});
  const cards = ACCIDENTS.map(({ id, name, says, rule, danger }) => el("button", {
    type: "button", class: danger ? "accident danger" : "accident",
    onclick: () => {
      const act = () => put(id, { ...rule, ...whom() });
      if (danger) confirm({ name: "Do it", says: [says], danger, plain: true }, name, act);
      else act();
    },
  }, el("b", {}, name), el("span", {}, says)));
  return el("section", { class: "card" },
    el("div", { class: "row" }, el("h2", {}, "The usual accidents"),
      el("label", { class: "inline" }, "Only for order number", key)),
    el("div", { class: "accidents" }, cards));
}

function form(facts, put) {
  const choices = (entries) => entries.map(([word]) => el("option", { value: word }, word.replaceAll("_", " ")));
  const place = el("select", { name: "at", "aria-describedby": "at-says" }, choices(Object.entries(PLACES)));
  const placeSays = el("p", { class: "hint", id: "at-says" });
  const kind = el("select", { name: "kind", "aria-describedby": "kind-says" });
  const kindSays = el("p", { class: "hint", id: "kind-says" });
  const value = el("input", { name: "value", autocomplete: "off" });
  const valueLabel = el("label", {}, "With", value);
  const routes = facts.routes.map(({ name }) => el("option", { value: name }, name));
  const text = (name, label, more) => el("label", {}, label, el("input", { name, autocomplete: "off", ...more }));
  const preview = el("p", { class: "preview", role: "status" });
  const node = el("form", { class: "fault" },
    el("fieldset", {}, el("legend", {}, "What happens"),
      el("label", {}, "When", place), placeSays,
      el("label", {}, "Then", kind), kindSays, valueLabel),
    el("fieldset", {}, el("legend", {}, "To whom"),
      el("label", {}, "Route", el("select", { name: "route" }, el("option", { value: "" }, "any"), routes)),
      text("key", "Order number"),
      text("header", "Header of the request", { placeholder: "x-test: 1" }),
      el("p", { class: "hint" }, "What is left empty does not matter.")),
    el("fieldset", {}, el("legend", {}, "How often"),
      text("times", "At most so many times", { type: "number", min: 1, value: 1 }),
      text("for", "For so long", { placeholder: "60s" }),
      text("probability", "Of 100, so many", { type: "number", min: 1, max: 100, placeholder: "100" }),
      text("id", "Name of the rule", { value: "mine", required: true, pattern: "[A-Za-z0-9._\\-]{1,64}" })),
    preview,
    el("p", { class: "buttons" }, el("button", { class: "primary" }, "Put the rule")));

  function offer() {
    const fits = Object.entries(KINDS).filter(([, { at }]) => at.includes(place.value));
    const before = kind.value;
    kind.replaceChildren(...choices(fits));
    if (fits.some(([word]) => word === before)) kind.value = before;
    chosen();
  }

  function chosen() {
    const { says, takes, example } = KINDS[kind.value];
    say(placeSays, `That is, ${PLACES[place.value]}.`);
    say(kindSays, `That is, ${says}.`);
    valueLabel.hidden = !takes;
    value.type = takes === "number" ? "number" : "text";
    value.required = Boolean(takes);
    value.value = example ?? "";
    look();
  }

  function rule() {
    const fields = Object.fromEntries(new FormData(node));
    const { takes } = KINDS[kind.value];
    const given = { true: true, number: Number(value.value), text: value.value }[takes ?? "true"];
    return {
      at: place.value,
      do: { [kind.value]: given },
      ...(fields.route && { route: fields.route }),
      ...(fields.key && { key: fields.key }),
      ...(fields.header && { header: fields.header }),
      ...(fields.times && { times: Number(fields.times) }),
      ...(fields.for && { for: fields.for }),
      ...(fields.probability && { probability: Number(fields.probability) / 100 }),
    };
  }

  function look() {
    say(preview, sentence(rule()));
  }

  place.addEventListener("change", offer);
  kind.addEventListener("change", chosen);
  node.addEventListener("input", look);
  node.addEventListener("submit", (event) => {
    event.preventDefault();
    put(node.elements.id.value, rule());
  });
  offer();
  return el("details", { class: "card" }, el("summary", {}, "A rule of your own"), node);
}
