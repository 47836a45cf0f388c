// A change asks who makes it and why, and for a token where one is needed; then it is made, or it is said why not.

import { access, ask } from "./api.js";
import { $, h, say } from "./dom.js";

const WHO = "intentstream-who";
let count = 0;

function labelled(tag, label, props, hint, children = []) {
  const id = `field-${++count}`;
  const input = h(tag, { id, ...props, "aria-describedby": hint ? `${id}-hint` : null }, ...children);
  return { input, node: h("div", { class: "field" }, h("label", { for: id }, label), input, hint && h("p", { id: `${id}-hint`, class: "hint" }, hint)) };
}

/** A line to fill in; `input.value` is what was. */
export const field = (label, props, hint) => labelled("input", label, { autocomplete: "off", ...props }, hint);

/** One of several, each a value and its words; `input.value` is the one chosen. */
export const choice = (label, options, hint) => labelled("select", label, {}, hint, options.map(([value, words]) => h("option", { value }, words)));

/** Ask for a token; resolves to whether one was given. */
export function askForToken(why) {
  return converse({ title: "Who are you?", text: why, verb: "Go on", token: true, act: async () => {} });
}

/**
 * Ask for a change, and make it.
 *
 * @param change title, text, verb, danger?; why?: false where nobody is asked who and why; fields?: asked for first;
 *   method, path, etag?, body; path and body may be functions, asked once the fields are filled in
 * @returns what the worker answered; null: it was given up
 */
export function makeChange(change) {
  return converse({
    why: true,
    ...change,
    act: async (said) => (await ask(change.method, value(change.path), { ...value(change.body), ...said }, change.etag ? { "If-Match": change.etag } : {}))[0],
  });
}

const value = (given) => (typeof given === "function" ? given() : given);

function converse({ title, text, verb, danger, why, token, fields = [], act }) {
  const dialog = $("dialog");
  const secret = field("Token", { type: "password", required: true, spellcheck: "false" }, "Kept for this tab only.");
  const reason = field("Why", { required: true, maxlength: 500, placeholder: "It stands in the history for ever" });
  const who = field("Who you are", { required: true, maxlength: 200, value: localStorage.getItem(WHO) });
  const fault = h("p", { class: "fault", role: "alert" });
  const go = h("button", { type: "submit", class: danger ? "primary danger" : "primary" }, verb);
  const named = () => access.caller !== null;
  const needed = { token: token ?? false };
  const form = h("form", { method: "dialog" });
  const lay = () => {
    const asked = [...fields.map((each) => each.node), why && reason.node, why && !named() && who.node, needed.token && secret.node].filter(Boolean);
    form.replaceChildren(
      h("h2", { id: "dialog-title" }, title),
      h("p", {}, text),
      ...asked,
      fault,
      h("div", { class: "buttons" }, h("button", { type: "button", onclick: () => dialog.close("") }, "Cancel"), go),
    );
  };
  lay();
  dialog.replaceChildren(form);
  return new Promise((resolve) => {
    let answer = null;
    dialog.onclose = () => resolve(answer);
    form.onsubmit = async (event) => {
      event.preventDefault();
      if (needed.token) access.token = secret.input.value.trim();
      const said = why ? { reason: reason.input.value, ...(named() ? {} : { changed_by: who.input.value }) } : {};
      if (why && !named()) localStorage.setItem(WHO, who.input.value);
      go.disabled = true;
      say(fault, "");
      try {
        answer = (await act(said)) ?? true;
        dialog.close();
      } catch (problem) {
        if (problem.status === 401) needed.token = true;
        lay();
        say(fault, problem.status === 412 ? "Somebody has changed it meanwhile. Look again, then decide." : [problem.message, ...problem.faults].join(" · "));
      } finally {
        go.disabled = false;
      }
    };
    dialog.showModal();
    (form.querySelector("input, select") ?? go).focus();
  });
}
