// The last calls, and the story of each.

import { card, cut, dialog, empty, h, pill, put, rows, table, td, text } from "./dom.js";
import { ask, path } from "./api.js";
import { clock, count, ms, usd } from "./format.js";

const CACHE = { HIT: "good", "SEMANTIC HIT": "good", COALESCED: "good", STALE: "warn" };
const status = (code) => pill(String(code), code < 400 ? "good" : code === 499 ? "" : code < 500 ? "warn" : "bad");

export function calls() {
  const made = table([["Time"], ["Status"], ["Model"], ["Answered by"], ["Cache"], ["Took", "n"], ["In", "n"], ["Out", "n"], ["Cost", "n"], ["Tenant"]]);
  const nothing = h("div", {}, empty("No calls to show", "The last hundred show here, with the story of each."));
  const which = ["all", "failed", "cached"].map((name) => h("button", { type: "button", "aria-pressed": String(name === "all"), onclick: () => choose(name) }, name));
  const search = h("input", { type: "search", placeholder: "model, target, tenant, id", "aria-label": "Search calls", oninput: () => draw() });
  const { head, element } = card("Last calls", made.element, nothing);
  head.append(h("div", { class: "filters" }, search, h("div", { class: "switch" }, which)));
  let chosen = "all";
  let last = [];

  function choose(name) {
    chosen = name;
    which.forEach((button) => button.setAttribute("aria-pressed", String(button.textContent === name)));
    draw();
  }
  const wanted = (one) =>
    (chosen === "all" || (chosen === "failed" ? one.status >= 400 : CACHE[one.cache])) &&
    [one.model, one.target, one.tenant, one.id, one.error].join(" ").toLowerCase().includes(search.value.trim().toLowerCase());

  function draw() {
    const shown = last.filter(wanted);
    nothing.hidden = shown.length > 0;
    made.element.hidden = !shown.length;
    rows(made.body, shown, (one) => one.n, (one) => [
      td(clock(one.at), "soft"), td(status(one.status)), td([cut(one.model || one.operation), one.stream ? [" ", pill("stream", "mark")] : ""]),
      td([cut(one.target || "–"), one.attempts > 1 ? [" ", pill(`${one.attempts} attempts`, "warn")] : ""]), td(pill(one.cache, CACHE[one.cache])),
      td(ms(one.ms), "n"), td(count(one.input_tokens), "n"), td(count(one.output_tokens), "n"),
      td(one.saved_usd ? `saved ${usd(one.saved_usd)}` : usd(one.cost_usd), "n"), td(cut(one.tenant || "–"), "soft"),
    ], story);
  }
  return { element, show(live) { last = live.calls; draw(); } };
}

async function story(one) {
  const { body } = dialog("Story of a call", "side");
  put(body, h("p", { class: "soft" }, "…"));
  let told;
  try { told = await ask("GET", `admin/calls/${path(one.n)}`); } catch (error) { put(body, h("p", { class: "says bad" }, error.message)); return; }
  const said = told.story;
  const facts = [
    ["Status", String(one.status) + (said.error ? ` ${said.error}` : "")], ["Model", said.model || "–"], ["Route", said.route || "–"], ["Answered by", said.target || "–"],
    ["Cache", said.cache.status], ["Took", ms(said.duration_ms)], ["First event", ms(said.first_byte_ms)], ["Added by llm_edge", ms(said.overhead_ms)],
    ["Tokens in", count(one.input_tokens)], ["Tokens out", count(one.output_tokens)], ["Cost", usd(said.cost_usd)], ["Saved", usd(said.saved_usd)],
  ];
  const copy = h("button", { type: "button", class: "tight" }, "Copy");
  copy.addEventListener("click", async () => { await navigator.clipboard.writeText(JSON.stringify(said, null, 2)); text(copy, "Copied"); });
  put(body,
    h("p", { class: "mono soft" }, said.request_id),
    h("dl", { class: "facts" }, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
    said.cache.reason ? h("p", { class: "says" }, `The cache was passed by: ${said.cache.reason}`) : null,
    h("h3", {}, "What happened"),
    h("div", {}, line(said)),
    h("h3", {}, "explain()"),
    h("pre", {}, told.text),
    h("div", { class: "row" }, h("h3", { class: "grow" }, "As JSON"), copy),
    h("pre", {}, JSON.stringify(said, null, 2)));
}

// Attempts and what the layers said, in the order of time; each attempt a bar as long as it took.
function line(said) {
  const whole = Math.max(said.duration_ms || 0, ...said.attempts.map((one) => one.at_ms + (one.ms || 0)), 0.001);
  const attempts = said.attempts.map((one) => {
    const bar = h("i", { class: one.outcome === "ok" ? "" : "bad" });
    bar.style.left = `${(100 * one.at_ms) / whole}%`;
    bar.style.width = `${(100 * (one.ms ?? whole - one.at_ms)) / whole}%`;
    const words = `${one.target}: ${one.outcome}${one.status ? ` (${one.status})` : ""}${one.ms === null ? "" : `, ${ms(one.ms)}`}`;
    return [one.at_ms, h("div", {}, words, h("div", { class: "track" }, bar))];
  });
  const events = said.events.map(({ at_ms, layer, ...facts }) => [at_ms, h("div", {}, h("b", {}, layer), " ", h("span", { class: "soft" }, Object.entries(facts).map(([name, value]) => `${name} ${typeof value === "object" ? JSON.stringify(value) : value}`).join(", ")))]);
  const all = [...attempts, ...events].sort((one, other) => one[0] - other[0]);
  if (!all.length) return h("p", { class: "soft" }, said.cache.status.includes("HIT") ? "Answered from the cache: nobody was asked." : "Nobody was asked.");
  return all.map(([at, what]) => h("div", { class: "line" }, h("span", { class: "faint right" }, ms(at)), what));
}
