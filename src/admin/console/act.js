// What an operator may do about an order, said in words before it is done.

import { actor, ask, keepActor, orderPath } from "./ask.js";
import { el, hide, say, span } from "./show.js";

const FINAL = ["succeeded", "failed", "cancelled"];

// Buttons for what the order's state allows; for who may only look, the reason there are none.
export function actionsOn({ route, key, scope, found, facts, done }) {
  const state = found?.state ?? "none";
  if (facts.role !== "operator") {
    return el("p", { class: "hint" }, "This token may look. Acting takes the one of ONCEWARD_ADMIN_TOKEN.");
  }
  const about = facts.routes.find(({ name }) => name === route);
  const all = possible(state, about, found).filter(Boolean);
  if (all.length === 0) {
    return el("p", { class: "hint" }, FINAL.includes(state)
      ? `It is ${state}, and final states never change. A refund is an order of its own.`
      : "Nothing can be done about it in this state. Wait for its end.");
  }
  return el("p", { class: "buttons" }, all.map((action) => el("button", {
    type: "button",
    class: action.danger ? "danger" : "",
    onclick: () => confirm(action, key, async (words) => {
      const { place, query } = orderPath(route, key, scope);
      const body = { ...(words.why && { why: words.why }), ...(action.state && { state: action.state }) };
      await ask(`${place}/${action.verb}${query}`, { method: "POST", body });
      await done();
    }),
  }, action.name)));
}

function possible(state, route, found) {
  switch (state) {
    case "none": return [route && TOMBSTONE(route)];
    case "queued": return [CANCEL_QUEUED];
    case "in_flight": return [route?.cancel && CANCEL];
    case "unknown":
      return [SUCCEEDED(found), FAILED, route?.cancel && CANCEL, RELEASE(found)];
    case "cancelling": return [CANCELLED, SUCCEEDED(found)];
    default: return [];
  }
}

const TOMBSTONE = (route) => ({
  verb: "cancel",
  name: "Cancel it before it arrives",
  says: [
    "Nobody has seen this order. A tombstone is written in its place.",
    `A payment that arrives under this number is then refused (409 order-cancelled) and never reaches the payment service, for ${span(route.cancel_ttl)}.`,
  ],
});

const CANCEL_QUEUED = {
  verb: "cancel",
  name: "Cancel",
  says: [
    "It waits in the buffer and nothing was sent. It becomes cancelled at once, for good.",
    "Whoever asks for it gets 409 order-cancelled.",
  ],
};

const CANCEL = {
  verb: "cancel",
  name: "Cancel",
  danger: true,
  says: [
    "It may have reached the payment service. It becomes cancelling, and the payment service is told to cancel it, again and again until it confirms: then it is cancelled, and what was charged is paid back there.",
    "Should it turn out to be paid and beyond cancelling, it becomes succeeded and an alarm is raised.",
  ],
};

const SUCCEEDED = (found) => ({
  verb: "resolve",
  state: "succeeded",
  name: "It succeeded",
  says: [
    "You say that the money moved. The order becomes succeeded, for good: nobody can change that afterwards.",
    found?.response
      ? "Duplicates get the stored response if its attempt told of a success, else the order's document."
      : "Duplicates get the order's document. Nothing is sent to the payment service.",
  ],
  sure: "I have seen the payment at the payment service or the bank.",
});

const FAILED = {
  verb: "resolve",
  state: "failed",
  name: "It failed",
  danger: true,
  says: [
    "You say that no money moved and none will. The order becomes failed, for good.",
    "Duplicates get 409 already-final. To pay after all, the shopper needs a new order number.",
    "If money did move, nobody will be told until a callback says so.",
  ],
  sure: "I have made sure that nothing was charged and nothing is on its way.",
};

const CANCELLED = {
  verb: "resolve",
  state: "cancelled",
  name: "It is cancelled",
  danger: true,
  says: [
    "You say that the payment service has cancelled it, or paid it back. The order becomes cancelled, for good, and is not asked about any more.",
  ],
  sure: "I have seen that it is cancelled or paid back.",
};

const RELEASE = (found) => ({
  verb: "release",
  name: "Let it run again",
  danger: true,
  says: [
    `The next duplicate of this payment is sent to the payment service again, as attempt ${(found?.attempts ?? 0) + 1} under fence ${(found?.fence ?? 0) + 1}.`,
    "If the attempt before did arrive, the shopper is charged twice. It is counted in onceward_permitted_reruns_total.",
  ],
  sure: "I have made sure that the attempt before never arrived.",
});

// Says what will happen, and does it once somebody agreed.
export function confirm({ name, says, sure, danger, plain }, what, act) {
  const dialog = document.getElementById("confirm");
  const form = dialog.querySelector("form");
  const { yes, no, why, actor: who } = form.elements;
  const check = document.getElementById("confirm-sure");
  const trouble = document.getElementById("confirm-trouble");
  form.reset();
  who.value = actor();
  say(document.getElementById("confirm-title"), `${name}: ${what}`);
  document.getElementById("confirm-says").replaceChildren(...says.map((text) => el("p", {}, text)));
  hide(check, !sure);
  hide(document.getElementById("confirm-words"), Boolean(plain));
  form.elements.sure.required = Boolean(sure);
  say(check.querySelector("span"), sure ?? "");
  say(yes, name);
  yes.className = danger ? "danger" : "primary";
  hide(trouble, true);
  no.onclick = () => dialog.close();
  form.onsubmit = async (event) => {
    event.preventDefault();
    yes.disabled = true;
    if (!plain) keepActor(who.value.trim());
    try {
      await act({ why: why.value.trim() });
      dialog.close();
    } catch (error) {
      say(trouble, error.message);
      hide(trouble, false);
    } finally {
      yes.disabled = false;
    }
  };
  dialog.showModal();
}
