// The data is a script, status.js, loaded again and again, because a page opened from a file may not use fetch.
// File and folder names are chosen by people: they are only ever inserted as text, never as HTML.
const SHORT_LIST = 10, MARKS = { done: "✔", mixed: "◐", failed: "✘", running: "▶", waiting: "·" };
const CLASSES = { done: "good", mixed: "wait", failed: "bad" };
const OUTDATED_MS = 600000, MINUTE_S = 60;
const shown = {};            // the facts that each part of the page shows; a part is rebuilt only when they change
const expanded = new Set();  // ids of the long lists that the reader expanded
let data = null, lastUpdateAt = performance.now(), firstUpdate = true;

const language = () => document.documentElement.lang;
const locale = () => navigator.languages.find((wish) => wish.startsWith(language())) ?? language();
const translated = (text) => text[language()] ?? Object.values(text)[0] ?? "";
function message(code, fields = {}) {
  return WORDS[language()][code].replace(/\{(\w+)\}/g, (_, name) => fields[name]);
}
function element(tag, facts, ...children) {
  const node = Object.assign(document.createElement(tag), facts);
  node.append(...children.filter((child) => child !== null && child !== ""));
  return node;
}
function number(value, digits = 0) {
  return new Intl.NumberFormat(locale(), { maximumFractionDigits: digits }).format(value);
}
function percent(value) {
  return new Intl.NumberFormat(locale(), { style: "percent" }).format(value / 100);
}
function duration(seconds) {
  const [value, unit] = seconds < MINUTE_S ? [Math.ceil(seconds / 5) * 5, "second"] : [Math.round(seconds / MINUTE_S), "minute"];
  return new Intl.NumberFormat(locale(), { style: "unit", unit, unitDisplay: "long" }).format(value);
}
function dateTime(iso) {
  const time = new Date(iso), today = time.toDateString() === new Date().toDateString();
  const style = today ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" };
  return new Intl.DateTimeFormat(locale(), style).format(time);
}

function show(id, facts, build) {
  const key = JSON.stringify([language(), facts]);
  if (shown[id] === key) return;
  shown[id] = key;
  document.getElementById(id).replaceChildren(...build().filter((child) => child !== null));
}
function section(heading, ...children) {
  return element("section", { className: "card" }, element("h2", { textContent: heading }), ...children);
}
function softLine(text) {
  return translated(text) ? element("p", { className: "soft", textContent: translated(text) }) : null;
}
function list(id, tag, className, items, build, redraw, short = items.slice(0, SHORT_LIST)) {
  const all = expanded.has(id) || items.length <= SHORT_LIST;
  const rows = element(tag, { className }, ...(all ? items : short).map(build));
  if (all) return [rows];
  const button = element("button", { type: "button", textContent: message("show_all", { count: items.length }) });
  button.addEventListener("click", () => {
    expanded.add(id);
    redraw();
    const first = document.querySelectorAll(`#${id} li`)[short.length];
    first.tabIndex = -1;
    first.focus();
  });
  return [rows, button];
}

function state(stale) {
  const kinds = { idle: "good", working: "good", paused: "wait", "share-unavailable": "bad", stopped: "bad" };
  const name = message(data.state.replace("-", "_"));
  document.title = `${name} · heygemd`;
  show("state", [data.state, data.detail, stale], () => {
    document.getElementById("state").className = `card ${stale ? "bad" : kinds[data.state]}`;
    const old = stale ? element("p", { className: "detail", textContent: message("stale", { time: dateTime(data.updated) }) }) : null;
    const why = translated(data.detail) ? element("p", { className: "detail", textContent: translated(data.detail) }) : null;
    return [element("span", { className: "mark", textContent: name }), old, why];
  });
}
const livePictures = {};  // by video: kept while the list is rebuilt, and changed once the next picture is there
function livePicture(v) {
  const picture = livePictures[v.name] ??= element("img", { alt: message("live_picture", { name: v.name }), className: "live" });
  if (picture.dataset.wanted !== v.picture) {
    picture.dataset.wanted = v.picture;
    const next = new Image();
    next.addEventListener("load", () => { picture.src = next.src; });
    next.src = v.picture;
  }
  return picture;
}
function video(v) {
  const kind = CLASSES[v.state] ?? "";
  const head = element("span", { className: kind }, element("span", { className: "mark", ariaHidden: "true", textContent: MARKS[v.state] }), " ", v.link ? element("a", { href: v.link, textContent: v.name }) : v.name);
  if (v.state !== "running") return element("li", {}, head, softLine(v.text) ?? "");
  const bar = element("progress", { max: 100, value: v.percent, ariaLabel: v.name });
  const facts = [percent(v.percent), message(`phase_${v.phase.replace("-", "_")}`)];
  if (v.fps) facts.push(message("fps", { fps: number(v.fps, v.fps < 10 ? 1 : 0) }));
  if (v.eta_s !== null) facts.push(message("left", { time: duration(v.eta_s) }));
  const clip = v.clip ? element("p", {}, element("a", { href: v.clip, textContent: message("first_seconds") })) : "";
  return element("li", {}, head, bar, element("span", { className: "soft", textContent: facts.join(" · ") }), v.picture ? livePicture(v) : "", clip);
}
function videosDone(job) {
  const done = job.videos.filter((v) => v.state === "done").length;
  return message("videos", { done: number(done + job.omitted), total: number(job.videos.length + job.omitted) });
}
function now(jobs) {  // of a long list, the videos around the one that is running
  const redraw = () => show("now", [jobs, expanded.has("now")], () => jobs.map((job) => {
    const from = Math.max(0, job.videos.findIndex((v) => v.state === "running") - 2);
    const short = job.videos.slice(from, from + SHORT_LIST);
    return section(message("now", { name: job.name }), element("p", { className: "soft", textContent: videosDone(job) }), ...list("now", "ul", "", job.videos, video, redraw, short));
  }));
  redraw();
}
function queued(job) {
  const since = () => message("arrived", { time: dateTime(job.arrived), count: number(job.videos.length) });
  const begun = job.videos.some((v) => v.state === "done") ? ` · ${videosDone(job)}` : "";  // a batch gives way to others
  const facts = translated(job.text) || (job.arrived ? since() + begun : "");
  const name = element("h3", { textContent: job.name });
  return element("li", {}, element("div", { className: "row" }, name, facts && element("p", { className: "soft", textContent: facts })));
}
function notReady(job) {  // a mark for what needs somebody; none for what continues by itself
  const needsSomebody = job.state === "waiting";
  const mark = needsSomebody ? element("span", { className: "mark wait", ariaHidden: "true", textContent: "⚠ " }) : "";
  const why = element("p", { className: needsSomebody ? "" : "soft", textContent: translated(job.text) });
  return element("li", {}, element("h3", {}, mark, job.name), why);
}
function jobList(id, tag, className, heading, jobs, build) {
  const redraw = () => show(id, [jobs, expanded.has(id)], () => jobs.length === 0 ? [] : [
    section(message(heading, { count: number(jobs.length) }), ...list(id, tag, className, jobs, build, redraw)),
  ]);
  redraw();
}
function withFileName(v) {
  const why = translated(v.text);
  return why.includes(v.name) ? why : message("named", { name: v.name, why });
}
function thumbnail([src, href, alt]) {
  const picture = element("img", { src, alt, loading: "lazy" });
  const link = element("a", { href }, picture);
  picture.addEventListener("error", () => link.remove());
  return link;
}
function finished(job) {
  const failed = job.videos.filter((v) => v.state === "failed");
  const outcome = job.state === "done" && failed.length ? "mixed" : job.state;
  const mark = element("span", { className: `mark ${CLASSES[outcome]}`, textContent: `${MARKS[outcome]} ${message(`in_${outcome}`)}` });
  const name = element("h3", {}, job.link ? element("a", { href: job.link, textContent: job.name }) : job.name);
  const facts = [dateTime(job.finished), ...(job.videos.length ? [videosDone(job)] : [])].join(" · ");
  const why = failed.slice(0, SHORT_LIST).map((v) => element("p", { className: "soft", textContent: withFileName(v) }));
  if (failed.length > SHORT_LIST) why.push(element("p", { className: "soft", textContent: `… +${number(failed.length - SHORT_LIST)}` }));
  const gone = job.folder ? null : element("p", { className: "soft", textContent: message("gone") });
  const shown = job.videos.filter((v) => v.thumbnail).slice(0, SHORT_LIST);
  const faces = (v) => v.faces ? [[v.faces, job.link, message("faces", { name: v.name })]] : [];
  const pictures = shown.flatMap((v) => [[v.thumbnail, v.link, v.name], ...faces(v)]);
  const thumbs = pictures.length ? element("div", { className: "thumbs" }, ...pictures.map(thumbnail)) : null;
  return element("li", {}, element("div", { className: "row" }, name, mark), element("p", { className: "soft", textContent: facts }), softLine(job.text) ?? "", ...why, gone, thumbs);
}
function health(h) {
  const gib = (value) => value === null ? "?" : message("gib", { gib: number(value, 1) });
  const rows = {
    gpu: h.gpus.join(", ") || message("no_gpu"),
    share_free: gib(h.share_free_gib),
    disk_free: gib(h.disk_free_gib),
    version: h.version,
    updated: dateTime(data.updated),
  };
  show("health", [rows, h.warnings], () => [
    section(message("health"), ...h.warnings.map((text) => element("p", { className: "warning", textContent: translated(text) })), element("dl", {}, ...Object.entries(rows).flatMap(([code, value]) => [element("dt", { textContent: message(code) }), element("dd", { textContent: value })]))),
  ]);
}

function draw() {
  document.getElementById("title").textContent = message("title");
  if (data === null) {
    document.getElementById("state").textContent = message("loading");
    return;
  }
  const silent_s = (performance.now() - lastUpdateAt) / 1000;
  const stale = data.state !== "stopped" && (silent_s > STALE_S || (firstUpdate && Date.now() - new Date(data.updated) > OUTDATED_MS));
  state(stale);
  jobList("queue", "ol", "queue", "queue", data.queue, queued);
  jobList("waiting", "ul", "", "waiting", data.waiting, notReady);
  jobList("recent", "ul", "", "recent", data.recent, finished);
  health(data.health);
  const nothing = !data.current && !data.queue.length && !data.waiting.length && !data.recent.length;
  if (nothing) show("now", "nothing", () => [element("p", { className: "card", textContent: message("empty") })]);
  else now(data.current ? [data.current, ...data.beside] : []);
}
function heygemd(news) {  // called by status.js
  if (data !== null && news.updated !== data.updated) firstUpdate = false;
  if (data === null || news.updated !== data.updated) lastUpdateAt = performance.now();
  data = news;
  draw();
}
function load() {
  const script = element("script", { src: `status.js?${Date.now()}` });
  script.addEventListener("load", () => script.remove());
  script.addEventListener("error", () => { script.remove(); draw(); });
  document.head.append(script);
}
document.addEventListener("language", draw);
draw();
load();
setInterval(load, REFRESH_S * 1000);
