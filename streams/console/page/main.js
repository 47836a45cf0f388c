// Puts the page together: what comes from the worker goes to each section.

import { access } from "./api.js";
import { showChain } from "./chain.js";
import { askForToken } from "./changing.js";
import { followComparisons } from "./comparisons.js";
import { $, h, mark, say } from "./dom.js";
import { follow } from "./feed.js";
import { followFlags } from "./flags.js";
import { time } from "./format.js";
import { makeLetters, showLetters } from "./letters.js";
import { showOverview } from "./overview.js";
import { makeRecent, showRecent } from "./recent.js";
import { rememberStream, showStream } from "./stream.js";
import { makeSystem, showSystem } from "./system.js";
import { makeTrying } from "./trying.js";

const THEMES = { auto: ["◐", "as the system has them"], light: ["○", "light"], dark: ["●", "dark"] };
let heardAt = null; // when the worker last said something, in ms

makeTrying();
makeRecent();
makeLetters();
makeSystem();
theme(localStorage.getItem("intentstream-theme") ?? "auto");
$("theme").onclick = () => {
  const names = Object.keys(THEMES);
  theme(names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length]);
};
$("access").onclick = () => {
  if (access.token) access.token = null;
  else askForToken("Changes are made in the name of a token.");
};

const retry = follow({ hello, history: rememberStream, snapshot }, linked);
let countdown = null;

function hello(caller) {
  access.caller = caller.name;
  $("access").hidden = caller.name === null;
  say($("access"), `${caller.name} · forget`);
  mark($("access"), "aria-label", `You are ${caller.name}; forget the token`);
}

function snapshot(shot) {
  heardAt = Date.now();
  $("board").hidden = false;
  showOverview(shot);
  showChain(shot);
  showStream(shot);
  showRecent(shot.recent);
  showLetters(shot.dead_letters);
  showSystem(shot);
  followFlags(shot.flags.revision);
  followComparisons(shot.flags.revision);
}

function linked({ state, problem, retryAt }) {
  clearInterval(countdown);
  mark($("link"), "data-state", state);
  document.documentElement.classList.toggle("stale", state !== "live" && heardAt !== null);
  say($("link").lastElementChild, { live: "Live", waiting: "Reconnecting", locked: "Locked", refused: "Refused" }[state]);
  $("notice").hidden = state === "live";
  if (state === "live") return;
  if (state === "waiting") {
    const left = h("span");
    const show = () => say(left, `Trying again in ${Math.max(0, Math.ceil((retryAt - Date.now()) / 1000))} s.`);
    notice("unknown", heardAt ? `No word since ${time(heardAt / 1000)}` : "No answer", "The worker does not answer.", [heardAt ? "What is below is as it was. " : "It may be starting, or be gone. ", left], ["Try now", () => retry()]);
    show();
    countdown = setInterval(show, 250);
  } else if (state === "locked" && problem.status === 401) {
    notice("unknown", "Locked", "This worker wants to know who you are.", [access.token ? problem.message : "Whoever runs it gives you a token; it needs the scope console:read."], ["Enter a token", () => askForToken("It needs the scope console:read; to see and change flags, flags:read and flags:write.")]);
  } else {
    const again = state === "locked" && access.token ? ["Enter another token", () => askForToken(problem.message)] : ["Try again", () => retry()];
    notice("unknown", state === "locked" ? "Not for you" : "Refused", state === "locked" ? "This worker does not show you its console." : "This worker has no room for another console.", [problem.message], again);
  }
}

/** Say in the place of the overview why there is none. */
function notice(level, word, headline, text, [verb, act]) {
  mark($("verdict"), "data-level", level);
  say($("verdict").lastElementChild, word);
  say($("headline"), headline);
  say($("under"), "");
  delete $("aloud").dataset.wrong;
  say($("aloud"), headline);
  $("concerns").hidden = true;
  document.title = "? intentstream";
  $("notice").replaceChildren(h("p", {}, ...text), h("button", { type: "button", class: "primary", onclick: act }, verb));
}

function theme(name) {
  const [sign, words] = THEMES[name] ?? THEMES.auto;
  document.documentElement.dataset.theme = THEMES[name] ? name : "auto";
  localStorage.setItem("intentstream-theme", name);
  say($("theme"), sign);
  mark($("theme"), "aria-label", `Colours: ${words}`);
  mark($("theme"), "title", `Colours: ${words}`);
}
