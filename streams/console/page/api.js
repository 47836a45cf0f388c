// Asks the worker. The token, where one is needed, is kept for this tab and no longer.

const KEY = "intentstream-token";
const listeners = new Set();

export const access = {
  caller: null, // the token's name; null: nobody is named
  get token() {
    return sessionStorage.getItem(KEY);
  },
  set token(secret) {
    if (secret) sessionStorage.setItem(KEY, secret);
    else sessionStorage.removeItem(KEY);
    for (const tell of listeners) tell();
  },
  onchange: (tell) => listeners.add(tell),
};

/** What a worker refuses, as RFC 9457 has it. */
export class Problem extends Error {
  constructor(status, said) {
    super(said.detail || said.title || `The worker answered ${status}.`);
    this.status = status;
    this.code = said.code ?? "";
    this.faults = said.faults ?? [];
  }
}

/** Say whether it is who asks that a worker minds. */
export const refused = (problem) => problem.status === 401 || problem.status === 403;

export const credentials = () => (access.token ? { Authorization: `Bearer ${access.token}` } : {});

export async function refusal(response) {
  const said = await response.json().catch(() => ({}));
  return new Problem(response.status, said);
}

/** Ask, and return [what is answered, its ETag]. */
export async function ask(method, path, body, headers = {}) {
  const content = body === undefined ? {} : { "Content-Type": "application/json" };
  let response;
  try {
    response = await fetch(path, {
      method,
      headers: { ...credentials(), ...content, ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
      signal: AbortSignal.timeout(20_000),
    });
  } catch {
    throw new Problem(0, { detail: "The worker does not answer." });
  }
  if (!response.ok) throw await refusal(response);
  return [await response.json(), response.headers.get("ETag")];
}
