// The page: asks this server alone. Text of documents only ever becomes text nodes.
"use strict";

const $ = (id) => document.getElementById(id);
const store = { get: (k) => { try { return sessionStorage.getItem(k); } catch { return null; } },
                set: (k, v) => { try { sessionStorage.setItem(k, v); } catch { /* private mode */ } } };
let info = null;      // what /info said
let asking = null;    // aborts the search under way

function node(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

async function call(path, body, signal) {
  const headers = { "content-type": "application/json" };
  const key = store.get("key");
  if (key) headers.authorization = "Bearer " + key;
  const options = body === undefined ? { headers, signal }
    : { method: "POST", headers, signal, body: JSON.stringify(body) };
  const start = performance.now();
  const answer = await fetch(path, options);
  const said = await answer.json().catch(() => ({}));
  if (answer.status === 401) { $("key-form").hidden = false; $("key").focus(); }
  if (!answer.ok) throw new Error(said.error?.message ?? `the server answered ${answer.status}`);
  return { said, ms: performance.now() - start };
}

const ms = (value) => (value < 10 ? value.toFixed(1) : Math.round(value)) + " ms";

// Which words of the question to mark: those that say something, at the beginning of a word.
const SMALL = new Set(("a an and are as at be by can did do does for from had has have how in is it its of on or " +
  "that the their this to was were what when where which who why will with").split(" "));

function marker(query) {
  const words = (query.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []);
  const telling = words.filter((word) => !SMALL.has(word));
  const found = [...new Set(telling.length ? telling : words)].sort((a, b) => b.length - a.length);
  if (!found.length) return null;
  // A longer word loses its ending, so that "magnets" finds "magnet" and "magnetic".
  const stems = found.map((word) => (word.length > 5 ? word.replace(/(ies|es|s|ing|ed)$/u, "") : word));
  return new RegExp(`(?<![\\p{L}\\p{N}])(?:${stems.join("|")})[\\p{L}\\p{N}]*`, "giu");
}

function marked(parent, text, pattern) {
  let from = 0;
  for (const match of pattern ? text.matchAll(pattern) : []) {
    parent.append(text.slice(from, match.index), node("mark", "", match[0]));
    from = match.index + match[0].length;
  }
  parent.append(text.slice(from));
}

const SHOWN = 320;

function excerpt(text, pattern) {
  if (text.length <= SHOWN * 1.25) return text;
  const places = pattern ? [...text.matchAll(pattern)].map((match) => match.index) : [];
  let best = 0, most = 0;
  for (const place of places) {
    const within = places.filter((other) => other >= place && other < place + SHOWN - 60).length;
    if (within > most) { most = within; best = Math.max(0, place - 60); }
  }
  if (best < 60) best = 0;
  const begin = best && text.indexOf(" ", best) + 1;
  const end = text.lastIndexOf(" ", begin + SHOWN);
  return (begin ? "… " : "") + text.slice(begin, end > begin ? end : begin + SHOWN) + " …";
}

function hitNode(hit, rank, top, pattern, other) {
  const item = node("li", "hit");
  item.tabIndex = 0;
  const head = node("header");
  const title = node("h3");
  marked(title, hit.title || hit.id, pattern);
  head.append(node("span", "rank", rank), title, node("span", "score", hit.score.toFixed(4)));
  const bar = node("div", "bar"), filled = node("i");
  filled.style.width = Math.max(0, Math.min(100, 100 * (top > 0 ? hit.score / top : 1))) + "%";
  bar.append(filled);
  const text = node("p");
  const short = excerpt(hit.text, pattern);
  marked(text, short, pattern);
  const facts = node("div", "facts");
  if (hit.title) facts.append(node("span", "", hit.id));
  for (const [name, value] of Object.entries(hit.metadata)) {
    facts.append(node("span", "", `${name}: ${typeof value === "string" ? value : JSON.stringify(value)}`));
  }
  if (other) {
    const there = other.findIndex((one) => one.id === hit.id) + 1;
    if (!there) facts.append(node("span", "moved", "only here"));
    else if (there !== rank) facts.append(node("span", "moved", `rank ${there} there`));
  }
  item.append(head, bar, text);
  if (facts.children.length) item.append(facts);
  item.setAttribute("aria-expanded", "false");
  item.addEventListener("click", () => {
    if (String(getSelection())) return;
    const open = item.getAttribute("aria-expanded") !== "true";
    item.setAttribute("aria-expanded", String(open));
    text.replaceChildren();
    marked(text, open ? hit.text : short, pattern);
  });
  return item;
}

function columnNode(name, { said, ms: took }, other, query) {
  const column = node("section", "column");
  const head = node("h2", "", name);
  const about = info.collections.find((one) => one.name === name);
  const hits = said.results[0].hits;
  head.append(node("span", "quiet", `${about.model} · ${hits.length} of ` +
    `${about.documents.toLocaleString("en")} · ${ms(1000 * said.seconds)} in the server, ${ms(took)} in all`));
  const list = node("ol");
  const pattern = marker(query), top = hits.length ? hits[0].score : 0;
  hits.forEach((hit, at) => list.append(hitNode(hit, at + 1, top, pattern, other)));
  column.append(head, hits.length ? list : node("p", "quiet", "Nothing fits."));
  return column;
}

function conditions() {
  const text = $("where").value.trim();
  $("where-said").textContent = "";
  if (!text) return undefined;
  try {
    const found = JSON.parse(text);
    if (found === null || typeof found !== "object" || Array.isArray(found)) throw new Error("it is no object");
    return found;
  } catch (error) {
    $("where-said").textContent = `where is not JSON like {"year": 2020}: ${error.message}`;
    throw error;
  }
}

async function search() {
  const query = $("query").value.trim();
  asking?.abort();
  $("failed").textContent = "";
  if (!query) { $("columns").replaceChildren(); remember(); return; }
  let where;
  try { where = conditions(); } catch { return; }
  remember();
  asking = new AbortController();
  const { signal } = asking;
  const names = [$("collection").value, $("compare").value].filter((name, at, all) => name && all.indexOf(name) === at);
  try {
    const answers = [];
    for (const collection of names) {   // one after the other: each time is its own
      answers.push(await call("search", { query, k: Number($("k").value), where, collection }, signal));
    }
    const hits = answers.map((answer) => answer.said.results[0].hits);
    $("columns").className = names.length > 1 ? "two" : "";
    $("columns").replaceChildren(
      ...names.map((name, at) => columnNode(name, answers[at], names.length > 1 ? hits[1 - at] : null, query)));
  } catch (error) {
    if (error.name !== "AbortError") { $("columns").replaceChildren(); $("failed").textContent = error.message; }
  }
}

// The address holds the search, so that it can be sent to somebody.
const FIELDS = ["query", "collection", "compare", "k", "where"];
function remember() {
  const kept = new URLSearchParams();
  for (const name of FIELDS) if ($(name).value) kept.set(name, $(name).value);
  history.replaceState(null, "", $("query").value.trim() ? "#" + kept : location.pathname);
}
function recall() {
  for (const [name, value] of new URLSearchParams(location.hash.slice(1))) if (FIELDS.includes(name)) $(name).value = value;
}

async function likeness() {
  $("failed").textContent = "";
  try {
    const { said, ms: took } = await call("v1/embeddings", { input: [$("left").value, $("right").value] });
    const [a, b] = said.data.map((row) => row.embedding);
    const dot = (x, y) => x.reduce((sum, value, at) => sum + value * y[at], 0);
    const cosine = dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b)) || 0;
    const scale = node("div", "scale"), filled = node("i");
    filled.style.width = Math.max(0, 100 * cosine) + "%";
    scale.append(filled);
    $("likeness-said").replaceChildren(node("p", "number", cosine.toFixed(4)), scale,
      node("p", "quiet", `cosine of two vectors of ${a.length} numbers · ${said.usage.total_tokens} tokens · ${ms(took)}`));
  } catch (error) { $("failed").textContent = error.message; }
}

function show(name) {
  for (const one of ["search", "likeness"]) {
    $(one).hidden = one !== name;
    $("to-" + one).setAttribute("aria-pressed", String(one === name));
  }
  $(name === "search" ? "query" : "left").focus();
}

async function begin() {
  try { ({ said: info } = await call("info")); } catch (error) { $("failed").textContent = error.message; return; }
  $("key-form").hidden = true;
  $("failed").textContent = "";
  $("served").textContent = `${info.model} · ${info.dim} dimensions`;
  const names = info.collections.map((one) => one.name);
  $("collection").replaceChildren(...names.map((name) => new Option(name, name)));
  $("compare").replaceChildren(new Option("nothing", ""), ...names.map((name) => new Option(name, name)));
  $("collection-label").hidden = $("compare-label").hidden = names.length < 2;
  if (names.length === 2 && innerWidth > 700) $("compare").value = names[1];
  for (const one of ["search", "likeness"]) $("to-" + one).hidden = !names.length;
  if (names.length) { recall(); show("search"); search(); } else { show("likeness"); }
}

let typing = 0;
$("search-form").addEventListener("submit", (event) => { event.preventDefault(); clearTimeout(typing); search(); });
$("query").addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(search, 250); });
for (const name of ["collection", "compare", "k", "where"]) $(name).addEventListener("change", search);
$("likeness-form").addEventListener("submit", (event) => { event.preventDefault(); likeness(); });
$("key-form").addEventListener("submit", (event) => { event.preventDefault(); store.set("key", $("key").value); begin(); });
$("to-search").addEventListener("click", () => show("search"));
$("to-likeness").addEventListener("click", () => show("likeness"));

$("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  store.set("theme", root.dataset.theme);
});
if (store.get("theme")) document.documentElement.dataset.theme = store.get("theme");

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const inField = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
  const hits = [...document.querySelectorAll(".hit")];
  const at = hits.indexOf(document.activeElement);
  if (event.key === "/" && !inField) $("query").focus();
  else if (event.key === "Escape" && !$("search").hidden) { $("query").focus(); $("query").select(); }
  else if (event.key === "ArrowDown" && hits.length && (at >= 0 || event.target === $("query"))) hits[Math.min(at + 1, hits.length - 1)].focus();
  else if (event.key === "ArrowUp" && at >= 0) (at ? hits[at - 1] : $("query")).focus();
  else if (event.key === "Enter" && at >= 0) hits[at].click();
  else return;
  event.preventDefault();
});

begin();
