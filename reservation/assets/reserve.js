// What is nicer with a script here, after what house.js does on every page; nothing needs it.
"use strict";

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
  house.enhance(fresh);
  countDown(fresh);
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

countDown(document);
follow();
