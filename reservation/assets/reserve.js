// What is nicer with a script; nothing needs it.
"use strict";

// Instants, in the person's own time zone, and which that is.
function localise(root) {
  const lang = document.documentElement.lang;
  const format = new Intl.DateTimeFormat(lang, {
    year: "numeric", month: "short", day: "numeric", hour: "numeric", minute: "2-digit", timeZoneName: "short",
  });
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.getTime())) time.textContent = format.format(at);
  }
}

// How long a hold still lasts.
let ticking = 0;
function countDown(root) {
  clearInterval(ticking);
  const time = root.querySelector("time[data-countdown]");
  if (!time) return;
  const until = new Date(time.dateTime).getTime();
  const show = document.createElement("strong");
  show.className = "countdown";
  time.after(" ", show);
  const tick = () => {
    const left = Math.max(0, Math.round((until - Date.now()) / 1000));
    show.textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
  };
  tick();
  ticking = setInterval(tick, 1000);
}

// A form is sent once, however often its button is pressed.
function sendOnce(root) {
  for (const form of root.querySelectorAll("form[data-once]")) {
    let sent = false;
    form.addEventListener("submit", (event) => {
      if (sent) {
        event.preventDefault();
        return;
      }
      sent = true;
      for (const button of form.querySelectorAll("button")) button.setAttribute("aria-disabled", "true");
    });
    // Back from the next page, out of the browser's cache: it may be sent again.
    addEventListener("pageshow", () => {
      sent = false;
      for (const button of form.querySelectorAll("button")) button.removeAttribute("aria-disabled");
    });
  }
}

function enhance(root) {
  localise(root);
  countDown(root);
  sendOnce(root);
}

// A reservation, followed live: each event fetches the part of the page that it changed.
async function refresh(live) {
  const answer = await fetch(location.pathname, { headers: { accept: "text/html" }, credentials: "same-origin" });
  if (!answer.ok || answer.redirected) return live;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.getElementById("live");
  if (!fresh || Number(fresh.dataset.version) < Number(live.dataset.version)) return live;
  if (fresh.dataset.version === live.dataset.version) return live;
  // What somebody is typing stays.
  const typed = [...live.querySelectorAll("input, select")].map((field) => [field.id, field.value]);
  const focused = document.activeElement?.id;
  document.title = page.title;
  live.replaceWith(fresh);
  for (const [id, value] of typed) {
    const field = id && document.getElementById(id);
    if (field) field.value = value;
  }
  if (focused) document.getElementById(focused)?.focus();
  // Said aloud from an element that stays: one that comes with the news is not listened to.
  document.getElementById("said").textContent = [...fresh.querySelectorAll("#state, #state + .lead")]
    .map((part) => part.textContent).join(". ");
  enhance(fresh);
  return fresh;
}

function follow() {
  let live = document.getElementById("live");
  if (!live || "final" in live.dataset) return;
  document.body.classList.add("following");
  const events = new EventSource(live.dataset.events);
  let working = Promise.resolve();
  events.addEventListener("message", (event) => {
    const change = JSON.parse(event.data);
    if (change.version <= Number(live.dataset.version)) return;
    working = working.then(async () => {
      live = await refresh(live);
      if ("final" in live.dataset) events.close();
    });
  });
}

enhance(document);
follow();
