// What callers may use: budgets as they stand, limits, and who spent what.

import { card, cut, empty, field, h, pill, rows, sure, table, td } from "./dom.js";
import { ask, path } from "./api.js";
import { count, lasted, share, short, usd } from "./format.js";
import { form } from "./manage.js";

const BOUNDS = [["requests_per_second", "Calls a second"], ["requests_per_minute", "Calls a minute"], ["requests_per_day", "Calls a day"], ["tokens_per_minute", "Tokens a minute"], ["concurrency", "Calls at once"]];
const PERIODS = [["usd_per_day", "Dollars a day"], ["usd_per_month", "Dollars a month"]];
const SPANS = [["24 h", "24h"], ["7 days", "7d"], ["30 days", "30d"], ["all", ""]];
const number = (placeholder) => h("input", { placeholder, inputMode: "decimal", autocomplete: "off" });

function meter(one) {
  const used = one.limit_usd ? (one.spent_usd + one.reserved_usd) / one.limit_usd : 1;
  const bar = h("i", { class: used >= 1 ? "bad" : used >= 0.8 ? "warn" : "" });
  bar.style.width = `${Math.min(100, 100 * used)}%`;
  return h("div", { class: "meter", title: share(one.spent_usd + one.reserved_usd, one.limit_usd) }, bar);
}

// A form that sets one thing by its name, and a button that takes a change back.
function setter(title, kind, fields, load, more = []) {
  const name = h("input", { placeholder: "tenant:acme", required: true, autocomplete: "off" });
  const inputs = fields.map(([key, label]) => [key, label, number("–")]);
  return card(title, form("Set", [field("For whom", name), inputs.map(([, label, input]) => field(label, input)), more.map(([, label, box]) => h("label", { class: "check" }, box, label))], async () => {
    const asked = Object.fromEntries(inputs.filter(([, , input]) => input.value.trim()).map(([key, , input]) => [key, Number(input.value)]));
    more.forEach(([key, , box]) => { asked[key] = box.checked; });
    await ask("PUT", `admin/${kind}/${path(name.value.trim())}`, asked);
    await load();
    return `It holds for ${name.value.trim()} from now on.`;
  })).element;
}

const back = (kind, name, load) => h("button", {
  class: "tight", type: "button",
  onclick: () => sure("Take back", `What was set here for ${name} no longer holds; what the configuration says does.`, async () => { await ask("DELETE", `admin/${kind}/${path(name)}`); await load(); }),
}, "Take back");

export function money(app) {
  const stand = table([["Budget"], ["For"], ["Period"], ["Used"], ["So far", "n"], ["Of", "n"], ["Begins anew in", "n"], [""]]);
  const none = h("div", {}, empty("No budget has been used yet", "Budgets stand here once somebody under them has called."));
  const spent = table([["Tenant"], ["Calls", "n"], ["From the cache", "n"], ["Tokens", "n"], ["Spent", "n"], ["Saved", "n"]]);
  const nobody = h("div", {}, empty("Nobody spent anything in this time", "Each tenant has a line here."));
  const hard = h("input", { type: "checkbox", checked: true });
  let span = "7d"; // a log may have years
  const spans = SPANS.map(([name, value]) => h("button", { type: "button", "aria-pressed": String(value === span), onclick: () => choose(value) }, name));
  const who = card("Who spent what", spent.element, nobody);
  who.head.append(h("div", { class: "switch", role: "group", "aria-label": "Time" }, spans));

  function choose(value) {
    span = value;
    spans.forEach((button, at) => button.setAttribute("aria-pressed", String(SPANS[at][1] === value)));
    app.load("money");
  }

  async function load() {
    const asked = span;
    const [budgets, spend] = await Promise.all([ask("GET", "admin/budgets"), ask("GET", `admin/spend?by=tenant${asked && `&since=${asked}`}`)]);
    if (asked !== span) return; // another one was chosen meanwhile
    none.hidden = budgets.standings.length > 0;
    stand.element.hidden = !budgets.standings.length;
    rows(stand.body, budgets.standings, (one) => `${one.budget} ${one.subject} ${one.period}`, (one) => [
      td([cut(one.budget), one.hard ? "" : [" ", pill("soft")]]), td(cut(one.subject || "all")), td(one.period), td(meter(one)), td(usd(one.spent_usd + one.reserved_usd), "n"),
      td(usd(one.limit_usd), "n"), td(one.resets_in === null ? "never" : lasted(one.resets_in), "n"), td(budgets.budgets[one.budget]?.set_by === "admin" ? back("budgets", one.budget, load) : "", "right"),
    ]);
    nobody.hidden = spend.spend.length > 0;
    spent.element.hidden = !spend.spend.length;
    rows(spent.body, spend.spend, (one) => one.name, (one) => [
      td(cut(one.name || "–")), td(count(one.calls), "n"), td(count(one.hits), "n"), td(short(one.input_tokens + one.output_tokens), "n"), td(usd(one.usd), "n"), td(usd(one.saved_usd), "n"),
    ]);
  }
  return { load, element: h("div", { class: "stack" }, card("Budgets", stand.element, none).element, setter("Set a budget", "budgets", PERIODS, load, [["hard", "hard: calls beyond it are refused", hard]]), who.element) };
}

export function limits() {
  const made = table([["For"], ...BOUNDS.map(([, label]) => [label, "n"]), ["Tier"], ["Set by"], [""]]);
  const nothing = h("div", {}, empty("Nothing is limited", "Limits of the configuration, and those set here, have a line each."));

  async function load() {
    const told = await ask("GET", "admin/limits");
    const all = Object.entries(told.limits).map(([name, one]) => ({ name, ...one }));
    nothing.hidden = all.length > 0;
    made.element.hidden = !all.length;
    rows(made.body, all, (one) => one.name, (one) => [
      td(cut(one.name)), BOUNDS.map(([key]) => td(count(one[key]), "n")), td(one.tier || "–"), td(pill(one.set_by, one.set_by === "admin" ? "mark" : "")), td(one.set_by === "admin" ? back("limits", one.name, load) : "", "right"),
    ].flat());
  }
  return { load, element: h("div", { class: "stack" }, card("Limits", made.element, nothing).element, setter("Set a limit", "limits", BOUNDS, load)) };
}
