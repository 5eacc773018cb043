// Keys, the cache and the trail: what may be changed, and who did.

import { card, cut, dialog, empty, field, h, pill, put, rows, sure, table, td, text } from "./dom.js";
import { ask, path } from "./api.js";
import { bytes, count, day, lasted, usd } from "./format.js";

const STATES = { active: "good", revoked: "bad", expired: "warn" };
const words = (input) => input.value.split(",").map((each) => each.trim()).filter(Boolean);

// A form that says what went wrong beside itself.
export function form(action, inputs, act, kind = "main") {
  const says = h("p", { class: "says bad", hidden: true, role: "alert" });
  const go = h("button", { class: kind }, action);
  const made = h("form", { class: "stack pad" }, h("div", { class: "fields" }, inputs, h("div", {}, go)), says);
  made.addEventListener("submit", async (event) => {
    event.preventDefault();
    go.disabled = true;
    says.hidden = true;
    says.className = "says bad";
    try {
      const done = await act();
      if (done) { text(says, done); says.className = "says good"; says.hidden = false; }
    } catch (error) { text(says, error.message); says.hidden = false; }
    go.disabled = false;
  });
  return made;
}

function secret(made) {
  const { body, close } = dialog("The new key");
  const copy = h("button", { type: "button" }, "Copy");
  copy.addEventListener("click", async () => { await navigator.clipboard.writeText(made.key); text(copy, "Copied"); });
  put(body, h("p", { class: "soft" }, "It is shown this once. What is stored cannot be turned back into it."),
    h("div", { class: "secret" }, h("code", {}, made.key), copy), h("div", { class: "acts" }, h("button", { class: "main", type: "button", onclick: close }, "I have it")));
}

export function keys() {
  const input = (placeholder) => h("input", { placeholder, autocomplete: "off" });
  const [name, tenant, tier, models, days] = ["search", "acme", "pro", "all", "never"].map(input);
  days.inputMode = "numeric";
  const may = ["call", "admin", "metrics", "health"].map((permission) => h("input", { type: "checkbox", value: permission, checked: permission === "call" }));
  const made = table([["Name"], ["State"], ["Tenant"], ["Tier"], ["May"], ["Models"], ["Made"], ["Ends"], [""]]);
  const nothing = h("div", {}, empty("No keys yet", "Keys that are made here, or by `llm-edge keys create`, have a line here."));
  const list = card("Keys", made.element, nothing);
  const create = card("A new key", form("Create key", [
    field("Name", name), field("Tenant", tenant), field("Tier", tier), field("Models, by commas", models), field("Days until it ends", days),
    h("div", { class: "row" }, may.map((box) => h("label", { class: "check" }, box, box.value))),
  ], async () => {
    const asked = { name: name.value.trim(), tenant: tenant.value.trim(), tier: tier.value.trim(), models: words(models), permissions: may.filter((box) => box.checked).map((box) => box.value) };
    if (days.value.trim()) asked.days = Number(days.value);
    const told = await ask("POST", "admin/keys", asked);
    [name, tenant, tier, models, days].forEach((each) => { each.value = ""; });
    await load();
    secret(told);
  }));
  const acts = (key) => key.state !== "active" ? "" : h("div", { class: "row" },
    h("button", { class: "tight", type: "button", onclick: () => rotate(key) }, "Rotate"),
    h("button", { class: "tight bad", type: "button", onclick: () => sure("Revoke key", `${key.name || key.id} opens nothing from now on.`, async () => { await ask("DELETE", `admin/keys/${path(key.id)}`); await load(); }) }, "Revoke"));

  function rotate(key) {
    const hours = h("input", { value: "24", inputMode: "decimal", autocomplete: "off" });
    const { body, close } = dialog("Rotate key");
    put(body, h("p", { class: "soft" }, `A new key in the place of ${key.name || key.id}. The old one opens a while longer.`),
      form("Rotate key", [field("Hours the old key stays open", hours)], async () => {
        const told = await ask("POST", `admin/keys/${path(key.id)}/rotate`, { overlap: Number(hours.value) * 3600 });
        close();
        await load();
        secret(told);
      }));
  }

  async function load() {
    const told = await ask("GET", "admin/keys");
    nothing.hidden = told.keys.length > 0;
    made.element.hidden = !told.keys.length;
    rows(made.body, [...told.keys].reverse(), (key) => key.id, (key) => [
      td([h("div", {}, cut(key.name || "–")), h("div", { class: "mono faint small" }, key.id)]), td(pill(key.state, STATES[key.state])), td(cut(key.tenant)), td(key.tier || "–"),
      td(key.permissions.join(", ")), td(cut(key.models.join(", ") || "all")), td(day(key.created), "soft"), td(key.expires ? day(key.expires) : "never", "soft"), td(acts(key), "right"),
    ]);
  }
  return { element: h("div", { class: "stack" }, create.element, list.element), load };
}

export function cache(app) {
  const facts = h("dl", { class: "facts pad" });
  const stands = card("The cache", facts);
  const names = ["tenant", "namespace", "model", "key"];
  const inputs = Object.fromEntries(names.map((name) => [name, h("input", { placeholder: "any", autocomplete: "off" })]));
  const purge = card("Forget answers", form("Forget", names.map((name) => field(name[0].toUpperCase() + name.slice(1), inputs[name])), async () => {
    const asked = Object.fromEntries(names.map((name) => [name, inputs[name].value.trim()]).filter(([, value]) => value));
    if (!Object.keys(asked).length && !confirm("Forget every answer?")) return "";
    await ask("POST", "admin/cache/purge", asked);
    await app.refresh();
    return Object.keys(asked).length ? "Answers that have all of these are forgotten." : "All answers are forgotten.";
  }, "bad"));
  return {
    element: h("div", { class: "stack" }, stands.element, purge.element),
    show(live) {
      const said = live.cache;
      const saved = [["Answers in memory", count(said.entries)], ["Their size", bytes(said.bytes)], ["Hits", count(said.hits)], ["Misses", count(said.misses)],
        ["Shared calls", count(said.coalesced)], ["Given past their end", count(said.stale)], ["Passed by", count(said.bypassed)], ["Renewed", count(said.refreshed)],
        ["Waiting saved", lasted(said.saved_seconds)], ["Saved in the window", usd(live.totals.saved_usd)],
        ...Object.entries(said.second || {}).map(([name, value]) => [`Second tier: ${name.replaceAll("_", " ")}`, typeof value === "number" ? count(value) : String(value)])];
      put(facts, saved.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
    },
  };
}

export function trail() {
  const made = table([["Time"], ["Who"], ["Did"], ["To"], ["How"]]);
  const nothing = h("div", {}, empty("Nothing was changed yet", "Every change of a key, a limit or a breaker has a line here that nobody can take away."));
  const { element } = card("Who changed what", made.element, nothing);
  return {
    element,
    async load() {
      const told = await ask("GET", "admin/trail?limit=200");
      nothing.hidden = told.trail.length > 0;
      made.element.hidden = !told.trail.length;
      rows(made.body, told.trail, (line) => JSON.stringify(line), (line) => [
        td(day(line.at), "soft"), td(cut(line.who)), td(line.what), td(cut(line.on)), td(h("span", { class: "mono faint" }, JSON.stringify(line.facts))),
      ]);
    },
  };
}
