// Faults in words: the places, the kinds, and the usual accidents ready to be put.

// Places in the order in which a payment passes them.
export const PLACES = {
  request: "a payment came whole and nothing is decided about it yet",
  redis_before: "a Redis command is about to be sent",
  redis_after: "a Redis command took effect, its answer is on the way",
  upstream_request: "the payment is about to go to the payment service",
  upstream_response: "the payment service has acted, its answer is on the way",
  response: "the answer is on the way to the caller",
  query: "the payment service is asked about an order",
  cancel: "the payment service is told to cancel an order",
  callback: "a channel's notification is forwarded to the payment service",
};

const ANYWHERE = Object.keys(PLACES);
const ANSWERS = ["upstream_response", "query", "cancel", "callback"];
const BODIES = ["upstream_request", "upstream_response", "response", "query", "cancel", "callback"];

// Kinds: what happens, where it means something, and what it takes: a text, a number or nothing.
export const KINDS = {
  delay: { says: "it comes so much later", at: ANYWHERE, takes: "text", example: "2s" },
  lose: { says: "it never arrives, and nobody is told", at: ANYWHERE },
  reset: { says: "the connection breaks, or is refused where nothing was sent", at: ANYWHERE },
  status: { says: "somebody in between answers with this status", at: ["request", ...BODIES], takes: "number", example: 503 },
  body: { says: "the answer has this body instead of its own", at: ANSWERS, takes: "text", example: "{}" },
  pad: { says: "the answer is so many bytes longer", at: ANSWERS, takes: "number", example: 2000000 },
  cut: { says: "the body breaks off after so many bytes", at: BODIES, takes: "number", example: 10 },
  corrupt: { says: "one byte of the body is another", at: ["request", ...BODIES] },
  duplicate: { says: "it arrives twice, both copies at once", at: ["request", "upstream_request", "query", "cancel", "callback", "redis_before"] },
  reorder: { says: "it is held until the next one has passed", at: ANYWHERE },
  forget: { says: "another Redis answers from now on, and it never heard of the order", at: ["redis_before"] },
  error: { says: "Redis answers with this error word and does nothing", at: ["redis_before"], takes: "text", example: "OOM" },
  stop: { says: "the sidecar begins to drain, as by SIGTERM", at: ANYWHERE },
  crash: { says: "the sidecar dies where it stands, as by kill -9", at: ANYWHERE },
};

// The usual accidents. `id` names the rule, so that putting one twice is putting it once.
export const ACCIDENTS = [
  {
    id: "answer-lost", name: "Charged, but the answer is lost",
    says: "The next payment is charged and its answer never comes. The order becomes unknown, and is asked about.",
    rule: { at: "upstream_response", do: { lose: true }, times: 1 },
  },
  {
    id: "charged-then-500", name: "Charged, then 500",
    says: "The next payment is charged, and a 500 comes back. It must not be charged again.",
    rule: { at: "upstream_response", do: { status: 500 }, times: 1 },
  },
  {
    id: "unreachable", name: "The payment service is away",
    says: "For 30 seconds no connection to it stands: 502, and nothing is sent.",
    rule: { at: "upstream_request", do: { reset: true }, for: "30s" },
  },
  {
    id: "cancel-overtakes", name: "Cancel overtakes the payment",
    says: "The next payment is held for 10 seconds before anything is decided. Cancel its order meanwhile: the payment must be refused.",
    rule: { at: "request", do: { delay: "10s" }, times: 1 },
  },
  {
    id: "callback-tomorrow", name: "Callback tomorrow",
    says: "No callback gets through until you take this rule off. The channel comes again; its next try after that settles the order.",
    rule: { at: "callback", do: { status: 503 } },
  },
  {
    id: "nobody-knows", name: "Nobody can say what became of it",
    says: "For two minutes every query is answered by a 500. Unknown orders run into RESOLVE_DEADLINE and are cancelled.",
    rule: { at: "query", do: { status: 500 }, for: "2m" },
  },
  {
    id: "caller-hangs-up", name: "The caller never hears",
    says: "The next answer is lost on its way to the caller. Sent again, the payment gets the first answer.",
    rule: { at: "response", do: { lose: true }, times: 1 },
  },
  {
    id: "everything-twice", name: "Everything arrives twice",
    says: "For a minute the network repeats each payment at once. Each must be charged once.",
    rule: { at: "request", do: { duplicate: true }, for: "60s" },
  },
  {
    id: "redis-forgets", name: "Redis forgets to answer",
    says: "The next command takes effect and its answer is lost: it must be asked again, not done again.",
    rule: { at: "redis_after", do: { lose: true }, times: 1 },
  },
  {
    id: "redis-full", name: "Redis is full",
    says: "For 15 seconds Redis refuses writes for want of memory: 503, and nothing is sent.",
    rule: { at: "redis_before", do: { error: "OOM" }, for: "15s" },
  },
  {
    id: "redis-slow", name: "Redis is slow",
    says: "For a minute every command takes 200 ms longer.",
    rule: { at: "redis_before", do: { delay: "200ms" }, for: "60s" },
  },
  {
    id: "killed", name: "The sidecar is killed in the middle",
    says: "With the next payment charged and not answered, this sidecar dies as by kill -9. This page loses its other end until it is started again.",
    rule: { at: "upstream_response", do: { crash: true }, times: 1 }, danger: true,
  },
];

// A rule as a sentence.
export function sentence(rule) {
  const [kind, value] = Object.entries(rule.do)[0];
  const { says = kind, takes } = KINDS[kind] ?? {};
  const what = takes ? `${says} (${value})` : says;
  const whom = [
    rule.key && `order ${rule.key}`,
    rule.route && `route ${rule.route}`,
    rule.header && `header ${rule.header}`,
    rule.command && `command ${rule.command}`,
  ].filter(Boolean);
  const often = [
    rule.probability && rule.probability < 1 && `${Math.round(rule.probability * 100)} of 100 times`,
    rule.times && (rule.times === 1 ? "once" : `${rule.times} times at most`),
    rule.for && `for ${rule.for}`,
  ].filter(Boolean);
  return `When ${PLACES[rule.at] ?? rule.at}: ${what}`
    + (whom.length ? `; only ${whom.join(", ")}` : "")
    + (often.length ? `; ${often.join(", ")}` : "; until it is taken off") + ".";
}
