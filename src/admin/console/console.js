// The console: asks who looks, follows what happens, and shows the view that the address names.

import { ask, forgetToken, keepToken } from "./ask.js";
import { told, watch } from "./live.js";
import { alarm } from "./banner.js";
import { faults } from "./faults.js";
import { order } from "./order.js";
import { overview } from "./overview.js";
import { person } from "./person.js";
import { count, el, hide, say } from "./show.js";

const VIEWS = { "": overview, order, person, faults };

const main = document.getElementById("main");
let facts = null;
let view = null;
let follow = null;

async function begin() {
  try {
    facts = await ask("/admin/console");
  } catch (error) {
    if (error.status === 401) {
      return askToken(forgetToken() ? "That token opens nothing here." : "The admin plane wants a token.");
    }
    main.replaceChildren(el("div", { class: "view" },
      el("h1", {}, "Not here"), el("p", { class: "trouble", role: "alert" }, error.message)));
    status("away");
    return setTimeout(begin, 3000);
  }
  hide(document.getElementById("token"), true);
  const { role, replica, version, namespace, upstream } = facts;
  say(document.getElementById("who"), `${role} at ${replica}`);
  document.getElementById("foot").replaceChildren(
    `Onceward ${version} · namespace ${namespace} · in front of ${upstream}`);
  if (facts.faults) alarm();
  show();
  // Once: whoever shows another token goes on with the same.
  if (follow) follow();
  else follow = watch(changed, status, refused);
}

function refused(error) {
  forgetToken();
  askToken(error.message);
}

function askToken(why) {
  const dialog = document.getElementById("token");
  const form = dialog.querySelector("form");
  hide(dialog, false);
  say(document.getElementById("token-why"), why);
  form.onsubmit = (event) => {
    event.preventDefault();
    keepToken(form.elements.token.value.trim());
    form.reset();
    dialog.close();
    begin();
  };
  // There is nothing to see without it.
  dialog.oncancel = (event) => event.preventDefault();
  if (!dialog.open) dialog.showModal();
}

function changed() {
  view?.update?.();
  const open = told.now.unknown + told.now.cancelling;
  const badge = document.getElementById("open-count");
  say(badge, count(open));
  hide(badge, open === 0);
}

const STATUS = { live: "live", polling: "asking now and then", away: "no answer" };

function status(word) {
  const node = document.getElementById("status");
  say(node, STATUS[word]);
  node.dataset.is = word;
}

function show(event) {
  if (!facts) return;
  const [path, search] = location.hash.replace(/^#\//, "").split("?");
  const [name, ...rest] = path.split("/").filter(Boolean);
  const make = VIEWS[name ?? ""] ?? overview;
  view?.leave?.();
  view = make({ facts, rest, query: new URLSearchParams(search ?? "") });
  main.replaceChildren(view.node);
  document.title = `${view.title} · Onceward`;
  for (const link of document.querySelectorAll("header nav a")) {
    const here = link.getAttribute("href").replace("#/", "") === (name ?? "");
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  // Who came by a link reads on from the top of the new view.
  if (event) {
    main.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
}

addEventListener("hashchange", show);
begin();
