// Numbers and times, as people read them.

const DASH = "–";
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hour12: false });
const precise = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const dated = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hour12: false });

export const count = (number) => (number === null || number === undefined ? DASH : whole.format(number));

export function rate(number) {
  if (number === null || number === undefined) return DASH;
  return number < 10 && number > 0 ? number.toFixed(1) : whole.format(number);
}

/** Seconds as [number, unit], to two or three digits. */
export function span(seconds) {
  if (seconds === null || seconds === undefined) return [DASH, ""];
  if (seconds < 0.001) return [(seconds * 1000).toFixed(2), "ms"];
  if (seconds < 0.01) return [(seconds * 1000).toFixed(1), "ms"];
  if (seconds < 1) return [whole.format(seconds * 1000), "ms"];
  if (seconds < 10) return [seconds.toFixed(1), "s"];
  if (seconds < 600) return [whole.format(seconds), "s"];
  return [whole.format(seconds / 60), "min"];
}

export const took = (seconds) => span(seconds).join(" ").trim();

export function share(part) {
  if (part === null || part === undefined) return DASH;
  const percent = part * 100;
  if (percent > 0 && percent < 1) return "<1";
  if (percent > 99 && percent < 100) return ">99";
  return whole.format(percent);
}

const moment = (at) => new Date(typeof at === "number" ? at * 1000 : at);
export const time = (at) => precise.format(moment(at));

/** A time of today by the clock, of another day with its date. */
export function since(at) {
  const then = moment(at);
  return then.toDateString() === new Date().toDateString() ? clock.format(then) : dated.format(then);
}

/** How long ago, roughly. */
export function ago(at) {
  const seconds = Math.max(0, Date.now() / 1000 - moment(at).getTime() / 1000);
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

export function lasting(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;
