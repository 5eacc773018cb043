// Asks the sidecar. The key stays in this tab (sessionStorage): a browser sends it nowhere by itself, so no other page
// can act in its name, and other servers on this host, with whom cookies would be shared, never see it.

const NAME = "llm-edge-key";
const root = new URL(".", location.href);

export class Refusal extends Error {
  constructor(status, words) { super(words); this.status = status; }
}

export const key = {
  get: () => sessionStorage.getItem(NAME) || "",
  set: (value) => (value ? sessionStorage.setItem(NAME, value) : sessionStorage.removeItem(NAME)),
};

export async function ask(method, path, body) {
  const headers = {};
  if (key.get()) headers.authorization = `Bearer ${key.get()}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  let answer;
  try {
    answer = await fetch(new URL(path, root), { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Refusal(0, "the sidecar does not answer");
  }
  const raw = await answer.text();
  let said = {};
  try { said = JSON.parse(raw); } catch { /* no JSON: told by its status */ }
  if (!answer.ok) throw new Refusal(answer.status, said.error?.message || `status ${answer.status}`);
  return said;
}

export const path = (...parts) => parts.map((part) => encodeURIComponent(part)).join("/");
