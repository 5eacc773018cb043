// The first view: figures, charts, targets, what is under way.

import { card, cut, empty, h, pill, put, rows, sure, table, td, text } from "./dom.js";
import { ask } from "./api.js";
import { chart } from "./charts.js";
import { count, ms, share, short, usd } from "./format.js";

const BREAKER = { closed: "good", "half-open": "warn", open: "bad", "forced-open": "bad", off: "" };

export function overview(app) {
  const figures = ["Calls", "Under way", "Cache hits", "Failed", "Latency, median", "Added by llm_edge", "Spent", "Tokens"].map((name) => {
    const value = h("div", { class: "value" }, "–");
    const more = h("div", { class: "more" }, "\u00a0");
    return { value, more, element: h("div", { class: "figure" }, h("div", { class: "name" }, name), value, more) };
  });
  const calls = chart("Calls per minute", [{ name: "all", colour: 1, fill: true }, { name: "from the cache", colour: 2 }, { name: "failed", colour: 3 }], short);
  const took = chart("Latency", [{ name: "p50", colour: 2 }, { name: "p95", colour: 4 }, { name: "p99", colour: 3 }], ms);
  const money = chart("Dollars per minute", [{ name: "spent", colour: 1, fill: true }, { name: "saved", colour: 2 }], usd);
  const tokens = chart("Tokens per minute", [{ name: "in", colour: 1, fill: true }, { name: "out", colour: 4 }], short);
  const targets = targetsCard(app);
  const underWay = underWayCard();
  const strip = h("section", { class: "card figures", "aria-label": "Figures" }, figures.map((one) => one.element));
  const charts = h("div", { class: "two" }, calls.element, took.element, money.element, tokens.element);
  const nothing = h("section", { class: "card", hidden: true }, empty("No calls yet", "They show here as they come. For a first one:", h("pre", {}, example())));
  const element = h("div", { class: "stack" }, strip, nothing, charts, targets.element, underWay.element);

  function show(live) {
    const all = live.totals;
    const say = [
      [count(all.calls), `${rate(live)} a minute now`],
      [count(live.under_way.calls), `${count(live.under_way.streams)} ${live.under_way.streams === 1 ? "stream" : "streams"}`],
      [share(all.hits, all.calls), `${count(all.hits)} calls`],
      [share(all.failed, all.calls), `${count(all.failed)} calls`],
      [ms(all.took_ms.p50), `p95 ${ms(all.took_ms.p95)}`, `p95 ${ms(all.took_ms.p95)}, p99 ${ms(all.took_ms.p99)}`],
      [ms(all.added_ms.p50), `p95 ${ms(all.added_ms.p95)}`],
      [usd(all.cost_usd), `saved ${usd(all.saved_usd)}`, `saved ${usd(all.saved_usd)}${all.unpriced ? `; the price of ${count(all.unpriced)} calls is not known` : ""}`],
      [short(all.input_tokens + all.output_tokens), `${short(all.input_tokens)} in · ${short(all.output_tokens)} out`],
    ];
    say.forEach(([value, more, title], at) => { text(figures[at].value, value); text(figures[at].more, more); figures[at].element.title = title || more; });
    figures[3].value.classList.toggle("is-bad", all.failed > 0.05 * all.calls);
    nothing.hidden = live.totals.calls > 0 || live.under_way.calls > 0;
    charts.hidden = !nothing.hidden;
    // The last slice is not over: drawn, it would look like a fall.
    const series = Object.fromEntries(Object.entries(live.series).map(([name, column]) => [name, column.slice(0, -1)]));
    const minute = (name) => series[name].map((value) => (value * 60) / live.window.step);
    calls.set([series.time, minute("calls"), minute("hits"), minute("failed")]);
    took.set([series.time, series.p50, series.p95, series.p99]);
    money.set([series.time, minute("cost_usd"), minute("saved_usd")]);
    tokens.set([series.time, minute("input_tokens"), minute("output_tokens")]);
    targets.show(live);
    underWay.show(live.under_way);
  }
  return { element, show };
}

function rate(live) {
  const wanted = Math.max(1, Math.round(60 / live.window.step));
  const last = live.series.calls.slice(-1 - wanted, -1);
  return short((last.reduce((sum, value) => sum + value, 0) * 60) / (last.length * live.window.step || 1));
}

function example() {
  const where = new URL("v1/chat/completions", new URL(".", location.href));
  return `curl ${where} \\\n  -H 'content-type: application/json' -H 'authorization: Bearer KEY' \\\n  -d '{"model": "MODEL", "messages": [{"role": "user", "content": "Hi"}]}'`;
}

function targetsCard(app) {
  const made = table([["Target"], ["Breaker"], ["Under way", "n"], ["Attempts", "n"], ["Failed", "n"], ["p50", "n"], ["p95", "n"], ["Spent", "n"], [""]]);
  const nothing = h("div", {}, empty("Nobody was asked yet", "Each provider and model that is asked has a line here."));
  const { element } = card("Targets", made.element, nothing);
  return {
    element,
    show(live) {
      const known = new Map(live.targets.map((one) => [one.target, one]));
      for (const [target, breaker] of Object.entries(live.health.breakers)) {
        known.set(target, { attempts: 0, failed: 0, in_flight: 0, cost_usd: 0, took_ms: {}, ...known.get(target), target, breaker });
      }
      const all = [...known.values()].sort((one, other) => other.attempts - one.attempts || one.target.localeCompare(other.target));
      nothing.hidden = all.length > 0;
      made.element.hidden = !all.length;
      rows(made.body, all, (one) => one.target, (one) => [
        td(cut(one.target)), td(one.breaker ? pill(one.breaker, BREAKER[one.breaker]) : ""), td(count(one.in_flight), "n"),
        td(count(one.attempts), "n"), td(one.failed ? share(one.failed, one.attempts) : "0 %", "n"), td(ms(one.took_ms.p50), "n"),
        td(ms(one.took_ms.p95), "n"), td(usd(one.cost_usd), "n"), td(acts(app, one), "right"),
      ]);
    },
  };
}

function acts(app, one) {
  const set = (state) => async () => { await ask("PUT", `admin/breakers/${one.target.split("/").map(encodeURIComponent).join("/")}`, { state }); await app.refresh(); };
  const shut = ["open", "forced-open"].includes(one.breaker);
  return h("button", {
    class: "tight", type: "button",
    onclick: () => shut
      ? sure("Close breaker", `${one.target} is asked again, and its breaker learns anew.`, set("closed"), "main")
      : sure("Open breaker", `${one.target} is not asked any more, until its breaker is closed here.`, set("open")),
  }, shut ? "Put back" : "Take out");
}

function underWayCard() {
  const made = table([["Model"], ["Tenant"], ["Asks"], ["Attempts", "n"], ["Since", "n"]]);
  const nothing = h("div", {}, empty("Nothing under way", "Calls that run right now."));
  const { element } = card("Under way", made.element, nothing);
  return {
    element,
    show(underWay) {
      nothing.hidden = underWay.longest.length > 0;
      made.element.hidden = !underWay.longest.length;
      rows(made.body, underWay.longest, (one) => one.id, (one) => [
        td([cut(one.model || one.operation), " ", one.stream ? pill("stream", "mark") : ""]), td(cut(one.tenant || "–"), "soft"), td(cut(one.target || "–")), td(count(one.attempts), "n"), td(ms(one.seconds * 1000), "n"),
      ]);
    },
  };
}
