// Numbers as people read them.

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

export const count = (value) => (value === null || value === undefined ? "–" : value < 100000 ? whole.format(value) : short(value));

export function short(value) {
  for (const [size, unit] of [[1e9, "B"], [1e6, "M"], [1e3, "k"]]) {
    if (Math.abs(value) >= size) return `${digits(value / size)} ${unit}`;
  }
  return digits(value);
}

function digits(value) {
  const size = Math.abs(value);
  return size >= 100 || Number.isInteger(value) ? whole.format(value) : value.toFixed(size >= 10 ? 1 : 2);
}

export function usd(value) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "$0";
  const size = Math.abs(value);
  if (size >= 1000) return `$${whole.format(value)}`;
  if (size >= 0.0095) return `$${value.toFixed(size >= 0.995 ? 2 : 3)}`;
  return `$${value.toFixed(Math.min(1 - Math.floor(Math.log10(size)), 9))}`;
}

export function ms(value) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0 ms";
  if (value >= 60000) return `${(value / 60000).toFixed(1)} min`;
  if (value >= 9999.5) return `${(value / 1000).toFixed(1)} s`;
  if (value >= 999.5) return `${(value / 1000).toFixed(2)} s`;
  return `${value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)} ms`;
}

export const share = (part, of) => (of ? `${((100 * part) / of).toFixed(part && part !== of ? 1 : 0)} %` : "–");
export const bytes = (value) => (value >= 1048576 ? `${(value / 1048576).toFixed(1)} MiB` : value >= 1024 ? `${(value / 1024).toFixed(1)} KiB` : `${value} B`);
export const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString("en-GB");
export const day = (seconds) => (seconds ? new Date(seconds * 1000).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" }) : "–");

export function lasted(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
}
