// Draws /openapi.json, and lets each operation be tried with the key of this tab.

import { field, h, pill, prose, put, table, td, text } from "./dom.js";
import { key } from "./api.js";

const page = document.getElementById("page");
const root = new URL(".", location.href);
const VERBS = { get: "good", post: "mark", put: "warn", delete: "bad" };
const QUESTION = [{ role: "user", content: "Hi" }];
const EXAMPLES = {
  ChatRequest: { model: "MODEL", messages: QUESTION }, CompletionRequest: { model: "MODEL", prompt: "Hi" }, ResponsesRequest: { model: "MODEL", input: "Hi" },
  EmbeddingRequest: { model: "MODEL", input: "Hi" }, MessagesRequest: { model: "MODEL", max_tokens: 100, messages: QUESTION }, CountRequest: { model: "MODEL", messages: QUESTION },
  GenerateRequest: { contents: [{ role: "user", parts: [{ text: "Hi" }] }] }, EmbedRequest: { content: { parts: [{ text: "Hi" }] } },
  KeyRequest: { name: "search", tenant: "acme" }, RotateRequest: { overlap: 86400 }, BreakerRequest: { state: "closed" }, PurgeRequest: {},
};

let said;
const named = (schema) => schema?.$ref?.split("/").pop();
const resolved = (schema) => (schema?.$ref ? said.components.schemas[named(schema)] : schema);

function kind(schema) {
  if (schema.$ref) return named(schema);
  if (schema.anyOf) return schema.anyOf.filter((one) => one.type !== "null").map(kind).join(" or ");
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" or ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.type === "array") return `list of ${schema.items && Object.keys(schema.items).length ? kind(schema.items) : "anything"}`;
  return { integer: "whole number", boolean: "true or false", string: "text" }[schema.type] || schema.type || "anything";
}

function shape(schema) {
  const made = table([["Field"], ["Type"], ["", ""]]);
  made.element.classList.add("shape");
  const needed = schema.required || [];
  put(made.body, Object.entries(schema.properties || {}).map(([name, one]) => h("tr", {},
    td(name), td(kind(one), "soft"), td([needed.includes(name) ? pill("needed", "warn") : "", " ", prose(one.description || "")], "soft"))));
  return made.element;
}

function tryOut(path, verb, operation) {
  const inputs = (operation.parameters || []).map((one) => [one, h("input", { value: one.schema.enum ? String(one.schema.default ?? one.schema.enum[0]) : "", autocomplete: "off" })]);
  const schema = operation.requestBody?.content["application/json"].schema;
  const body = schema && h("textarea", { spellcheck: false, "aria-label": "Body" });
  if (body) body.value = JSON.stringify(EXAMPLES[named(schema)] || {}, null, 2);
  const go = h("button", { class: "main" }, "Send");
  const out = h("div", { class: "stack", hidden: true });
  const form = h("form", { class: "stack pad" },
    inputs.length ? h("div", { class: "fields" }, inputs.map(([one, input]) => field(one.name, input))) : null,
    body ? field("Body", body) : null, h("div", { class: "row" }, go), out);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    go.disabled = true;
    await send(path, verb, inputs, body, out);
    go.disabled = false;
  });
  return form;
}

async function send(path, verb, inputs, body, out) {
  const headers = key.get() ? { authorization: `Bearer ${key.get()}` } : {};
  if (body) headers["content-type"] = "application/json";
  const query = new URLSearchParams();
  let where = path.slice(1);
  for (const [one, input] of inputs) {
    if (one.in === "path") where = where.replace(`{${one.name}}`, input.value.split("/").map(encodeURIComponent).join("/"));
    else if (input.value) query.set(one.name, input.value);
  }
  const shown = h("pre", {}, "…");
  const facts = h("p", { class: "small soft" });
  out.hidden = false;
  put(out, facts, shown);
  const began = performance.now();
  try {
    const answer = await fetch(new URL(where + (query.size ? `?${query}` : ""), root), { method: verb.toUpperCase(), headers, body: body ? body.value : undefined });
    put(facts, pill(String(answer.status), answer.ok ? "good" : "bad"), ` ${answer.headers.get("content-type") || ""}`);
    text(shown, "");
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let next = await reader.read(); !next.done; next = await reader.read()) shown.append(next.value);
    try { text(shown, JSON.stringify(JSON.parse(shown.textContent), null, 2)); } catch { /* a stream, or text */ }
    const told = ["x-llm-edge-target", "x-llm-edge-cache", "x-llm-edge-cost"].filter((name) => answer.headers.has(name)).map((name) => `${name.slice(11)} ${answer.headers.get(name)}`);
    facts.append([` ${Math.round(performance.now() - began)} ms`, ...told].join(" · "));
  } catch (error) { text(shown, String(error.message)); }
}

function operation(path, verb, one) {
  const made = h("details", { class: "card", id: one.operationId },
    h("summary", {}, h("span", { class: `pill verb ${VERBS[verb]}` }, verb.toUpperCase()), h("code", {}, path), h("span", { class: "soft grow right" }, prose(one.summary))));
  made.addEventListener("toggle", () => {
    if (!made.open || made.children.length > 1) return;
    const schema = one.requestBody?.content["application/json"].schema;
    if (schema) made.append(h("div", {}, shape(resolved(schema))));
    made.append(tryOut(path, verb, one));
  });
  return made;
}

function draw() {
  const groups = said.tags.map((tag) => ({ tag, all: Object.entries(said.paths).flatMap(([path, verbs]) => Object.entries(verbs).filter(([, one]) => one.tags[0] === tag.name).map(([verb, one]) => ({ path, verb, one }))) })).filter((group) => group.all.length);
  const shown = h("input", { type: "password", value: key.get(), placeholder: "no key", autocomplete: "off", "aria-label": "Key" });
  shown.addEventListener("change", () => key.set(shown.value.trim()));
  const open = document.documentElement.dataset.door === "open";
  const list = h("nav", { class: "list", "aria-label": "Operations" }, groups.map(({ tag, all }) => h("div", {}, h("h2", {}, tag.name), all.map(({ path, verb, one }) => {
    const link = h("a", { href: `#${one.operationId}`, title: `${verb.toUpperCase()} ${path}` }, prose(one.summary));
    link.addEventListener("click", () => { document.getElementById(one.operationId).open = true; });
    return link;
  }))));
  const all = h("div", { class: "stack" },
    h("section", { class: "card pad stack" }, h("p", {}, prose(said.info.description)), h("p", { class: "soft small" }, "As data: ", h("a", { href: "openapi.json" }, "openapi.json"), `, OpenAPI ${said.openapi}.`),
      open ? h("p", { class: "soft small" }, "Everybody is let in here: no key is needed.") : h("div", { class: "key" }, field("Key to try with; it stays in this tab", shown))),
    groups.map(({ tag, all: each }) => h("section", { class: "group" }, h("header", {}, h("h2", {}, tag.name), h("span", { class: "faint small" }, prose(tag.description))), each.map(({ path, verb, one }) => operation(path, verb, one)))));
  put(page, h("div", { class: "top" }, h("div", { class: "top-in" }, h("a", { class: "brand", href: "docs" }, h("img", { src: "assets/mark.svg", width: "20", height: "20", alt: "" }), "llm_edge"), h("span", { class: "soft grow" }, said.info.version))),
    h("main", {}, h("div", { class: "sheet" }, list, all)));
  const wanted = location.hash && document.getElementById(location.hash.slice(1));
  if (wanted) { wanted.open = true; wanted.scrollIntoView(); }
}

said = await (await fetch(new URL("openapi.json", root))).json();
draw();
