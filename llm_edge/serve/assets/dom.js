// Elements without markup: what a call or a key is named is text here, and can be nothing else.

export function h(tag, props, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") made.className = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && typeof value !== "string") made[name] = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  put(made, ...children);
  return made;
}

export function put(element, ...children) {
  element.replaceChildren(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// Changes an element's text only where it differs: a selection in it stays.
export function text(element, words) {
  if (element.textContent !== words) element.textContent = words;
}

// Keeps the rows of a table that are still there: hovering, focus and selection stay.
export function rows(body, items, key, cells, open) {
  const known = new Map([...body.children].map((row) => [row.dataset.key, row]));
  const wanted = items.map((item) => {
    const name = String(key(item));
    let row = known.get(name);
    if (!row) {
      row = h("tr", open && { class: "opens", tabindex: "0" });
      row.dataset.key = name;
      if (open) {
        row.addEventListener("click", () => open(row.item));
        row.addEventListener("keydown", (event) => { if (event.key === "Enter") open(row.item); });
      }
    }
    row.item = item;
    const said = JSON.stringify(item);
    if (row.said !== said) { put(row, ...cells(item)); row.said = said; }
    return row;
  });
  if (wanted.length !== body.children.length || wanted.some((row, at) => row !== body.children[at])) put(body, ...wanted);
}

export function table(columns) {
  const body = h("tbody");
  const head = h("tr", {}, ...columns.map(([name, kind]) => h("th", { class: kind, scope: "col" }, name)));
  return { body, element: h("div", { class: "scroll" }, h("table", {}, h("thead", {}, head), body)) };
}

// Prose with `words of code` in it.
export const prose = (words) => words.split("`").map((part, at) => (at % 2 ? h("code", {}, part) : part));
export const td = (value, kind) => h("td", { class: kind }, value);
export const pill = (words, kind) => h("span", { class: `pill ${kind || ""}` }, words);
export const cut = (words) => h("span", { class: "cut", title: words }, words);
export const field = (name, input) => h("label", {}, name, input);

export function card(title, ...children) {
  const head = h("header", {}, h("h2", { class: "grow" }, title));
  return { head, element: h("section", { class: "card", "aria-label": title }, head, ...children) };
}

export function empty(title, words, ...more) {
  return h("div", { class: "empty" }, h("strong", {}, title), words, ...more);
}

export function dialog(title, kind) {
  const body = h("div", { class: "body" });
  const close = h("button", { class: "plain", type: "button", "aria-label": "Close", onclick: () => made.close() }, "✕");
  const made = h("dialog", { class: kind, "aria-label": title }, h("header", {}, h("h2", { class: "grow" }, title), close), body);
  made.addEventListener("close", () => made.remove());
  made.addEventListener("click", (event) => { if (event.target === made) made.close(); });
  document.body.append(made);
  made.showModal();
  return { body, close: () => made.close() };
}

// Asks before what cannot be undone.
export function sure(title, words, act, kind = "bad") {
  const { body, close } = dialog(title);
  const says = h("p", { class: "says bad", hidden: true, role: "alert" });
  const go = h("button", { class: kind, type: "button" }, title);
  go.addEventListener("click", async () => {
    go.disabled = true;
    try { await act(); close(); } catch (error) { says.hidden = false; text(says, error.message); go.disabled = false; }
  });
  const leave = h("button", { type: "button", onclick: close }, "Cancel");
  put(body, h("p", {}, words), says, h("div", { class: "acts" }, leave, go));
}
