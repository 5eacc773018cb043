// The page: who may see it, its views, and a look at the sidecar every two seconds.

import { h, put, text } from "./dom.js";
import { ask, key } from "./api.js";
import { lasted } from "./format.js";
import { overview } from "./overview.js";
import { calls } from "./calls.js";
import { cache, keys, trail } from "./manage.js";
import { limits, money } from "./allowances.js";

const EVERY = 2000;
const WINDOWS = [["15 min", "900"], ["6 h", "21600"]];
const page = document.getElementById("page");
const mark = () => h("img", { src: "assets/mark.svg", width: "20", height: "20", alt: "" });

function gate(words) {
  const input = h("input", { type: "password", autocomplete: "off", autofocus: true, required: true, "aria-label": "Admin key", placeholder: "sk-edge-…" });
  const says = h("p", { class: "says bad", role: "alert", hidden: !words }, words || "");
  const form = h("form", { class: "pad" }, h("div", { class: "row" }, mark(), h("h1", {}, "llm_edge")),
    h("p", { class: "soft" }, "Show a key with the permission ", h("code", {}, "admin"), ". It stays in this tab."), input, says, h("button", { class: "main" }, "Open"));
  form.addEventListener("submit", (event) => { event.preventDefault(); key.set(input.value.trim()); start(); });
  put(page, h("div", { class: "gate card" }, form));
  input.focus();
}

function shell(first) {
  const app = { window: "900", live: null, refresh, load };
  const views = { overview: ["Overview", overview(app)], calls: ["Calls", calls(app)], keys: ["Keys", keys(app)] };
  if (first?.allowances) Object.assign(views, { money: ["Money", money(app)], limits: ["Limits", limits()] });
  Object.assign(views, { cache: ["Cache", cache(app)], trail: ["Trail", trail(app)] });
  const dot = h("span", { class: "dot" });
  const state = h("span", { class: "state small soft", role: "status" }, "…");
  const tabs = Object.entries(views).map(([name, [title]]) => h("a", { href: `#${name}` }, title));
  const choices = WINDOWS.map(([name, value]) => h("button", { type: "button", "aria-pressed": String(value === app.window), onclick: () => choose(value) }, name));
  const leave = h("button", { class: "plain", type: "button", hidden: !key.get(), onclick: () => { key.set(""); stop(); gate(); } }, "Sign out");
  const says = h("p", { class: "says bad", role: "alert", hidden: true });
  const note = h("p", { class: "small faint" });
  const main = h("main", { class: "stack" });
  put(page, h("div", { class: "top" }, h("div", { class: "top-in" }, h("a", { class: "brand", href: "#overview" }, mark(), "llm_edge"),
    h("nav", { class: "tabs", "aria-label": "Views" }, tabs), h("span", { class: "grow" }), h("span", { class: "row" }, dot, state),
    h("div", { class: "switch", role: "group", "aria-label": "Window" }, choices), leave)), main);

  let timer = 0;
  let stopped = false;
  const current = () => (location.hash.slice(1) in views ? location.hash.slice(1) : "overview");

  function choose(value) {
    app.window = value;
    choices.forEach((button, at) => button.setAttribute("aria-pressed", String(WINDOWS[at][1] === value)));
    refresh();
  }

  async function turn() {
    const name = current();
    tabs.forEach((tab) => (tab.hash === `#${name}` ? tab.setAttribute("aria-current", "page") : tab.removeAttribute("aria-current")));
    document.title = `${views[name][0]} · llm_edge`;
    says.hidden = true;
    put(main, says, views[name][1].element, note);
    show();
    await load(name);
  }

  async function load(name) {
    const view = views[name][1];
    if (!view.load) return;
    try { await view.load(); } catch (error) { failed(error); }
  }

  function show() {
    if (app.live && views[current()][1].show) views[current()][1].show(app.live);
  }

  function failed(error) {
    if (stopped) return;
    if (error.status === 401 || error.status === 403) { stop(); gate(key.get() ? error.message : ""); return; }
    text(says, error.message);
    says.hidden = false;
  }

  function learn(live) {
    app.live = live;
    if (says.textContent === "the sidecar does not answer") says.hidden = true;
    dot.className = `dot ${{ ok: "good", degraded: "warn" }[live.health.status] || "bad"}`;
    text(state, `${live.health.status}, up ${lasted(live.health.uptime_seconds)}`);
    const { all, told } = live.workers;
    text(note, all > 1 ? `Added up over ${told} of ${all} workers.${told < all ? " The others tell within a few seconds." : ""}` : "");
    show();
  }

  async function refresh() {
    clearTimeout(timer);
    try {
      const live = await ask("GET", `admin/live?window=${app.window}`);
      if (stopped) return;
      learn(live);
    } catch (error) { dot.className = "dot bad"; text(state, "no answer"); failed(error); }
    if (!stopped) again();
  }

  const again = () => { timer = setTimeout(document.hidden ? () => {} : refresh, EVERY); };
  const seen = () => { if (!document.hidden) refresh(); };
  function stop() {
    stopped = true;
    clearTimeout(timer);
    removeEventListener("hashchange", turn);
    document.removeEventListener("visibilitychange", seen);
  }
  addEventListener("hashchange", turn);
  document.addEventListener("visibilitychange", seen);
  turn();
  if (first) { learn(first); again(); } else refresh();
}

async function start() {
  if (document.documentElement.dataset.door === "locked" && !key.get()) { gate(); return; }
  let first = null;
  try { first = await ask("GET", "admin/live"); } catch (error) {
    if (error.status === 401 || error.status === 403) {
      const words = key.get() || error.status === 403 ? error.message : "";
      key.set("");
      gate(words);
      return;
    }
  }
  shell(first);
}

start();
