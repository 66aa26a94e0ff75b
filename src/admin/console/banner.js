// The red banner on every view while a fault rule is in force.

import { ask } from "./ask.js";
import { el, hide } from "./show.js";

const AGAIN_MS = 3000;

let timer;

// Looks now, and then as long as the tab is seen.
export async function alarm() {
  clearTimeout(timer);
  hide(document.getElementById("faults-link"), false);
  if (!document.hidden) {
    try {
      const { faults } = await ask("/admin/faults");
      tell(faults.filter(({ over }) => !over));
    } catch {
      // Whether there are any cannot be told now; the status says that nobody answers.
    }
  }
  timer = setTimeout(alarm, AGAIN_MS);
}

function tell(rules) {
  const banner = document.getElementById("faults-on");
  const words = `Fault simulation: ${rules.map(({ id }) => id).join(", ")} in force. What you see is not real. `;
  hide(banner, rules.length === 0);
  if (banner.dataset.says !== words) {
    banner.dataset.says = words;
    banner.replaceChildren(words, el("a", { href: "#/faults" }, "Look at the rules"));
  }
}
