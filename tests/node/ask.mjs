// Asks the sidecar with OpenAI's own client for Node.js, and prints what came as one line of JSON.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: `${process.argv[2]}/v1`, apiKey: "any", maxRetries: 2 });
const asked = (content, more) => ({ model: "fast", messages: [{ role: "user", content }], ...more });
const told = {};

told.whole = (await client.chat.completions.create(asked("whole?"))).choices[0].message.content;
told.streamed = "";
for await (const chunk of await client.chat.completions.create(asked("streamed?", { stream: true }))) {
  told.streamed += chunk.choices[0]?.delta?.content ?? "";
}
told.response = (await client.responses.create({ model: "fast", input: "a response?" })).output_text;
told.models = (await client.models.list()).data.map((model) => model.id);
try {
  await client.chat.completions.create({ model: "nobody/knows", messages: [] });
} catch (error) {
  told.refused = [error.constructor.name, error.status, error.error.code];
}
console.log(JSON.stringify(told));
