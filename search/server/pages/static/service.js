"use strict";
{
  const POLL = 2000; // milliseconds between two looks at the queue
  const one = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  const localTimes = (root) => {
    for (const time of all("time[datetime]", root)) {
      time.title = time.textContent;
      time.textContent = new Date(time.dateTime).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
    }
  };

  /* A screen reader hears a state once, not at each look. */
  const announce = (text) => {
    const place = one("#announcement");
    if (text && place.textContent !== text) place.textContent = text;
  };

  /* Replace a part of the page by what the server says now. The focus stays on the control with the same id. */
  const refresh = async () => {
    const live = one("[data-live]");
    const answer = await fetch(live.dataset.live).catch(() => null);
    if (answer?.status === 401) location.reload(); // the session has ended
    if (!answer?.ok) return;
    const text = await answer.text();
    const active = document.activeElement;
    if (text === refresh.last || (live.contains(active) && active.matches("input, select"))) return;
    refresh.last = text;
    const fresh = new DOMParser().parseFromString(text, "text/html").querySelector("[data-live]");
    const focused = live.contains(active) && active.id;
    localTimes(fresh);
    live.replaceWith(fresh);
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
    announce(fresh.dataset.spoken);
  };

  const append = (text, anew) => {
    const log = one("#log");
    const follows = log.scrollHeight - log.scrollTop - log.clientHeight < 30;
    if (anew) log.textContent = "";
    log.append(text);
    if (follows) log.scrollTop = log.scrollHeight;
  };

  let timer = null;
  let stream = null;
  const stop = () => {
    clearInterval(timer);
    stream?.close();
  };
  /* A tab that nobody sees asks for nothing: a browser opens few connections to one server. */
  const follow = () => {
    stop();
    const live = one("[data-live]");
    if (!live || document.hidden || live.hasAttribute("data-ended")) return;
    if (!live.dataset.events) {
      refresh();
      timer = setInterval(() => (one("[data-live]").hasAttribute("data-ended") ? location.reload() : refresh()), POLL);
      return;
    }
    let anew = true;
    let ended = false;
    stream = new EventSource(live.dataset.events);
    stream.addEventListener("state", (event) => {
      ended = ["finished", "failed", "cancelled"].includes(JSON.parse(event.data).state);
      refresh();
    });
    stream.addEventListener("progress", refresh);
    stream.addEventListener("log", (event) => {
      append(JSON.parse(event.data).text, anew);
      anew = false;
    });
    stream.addEventListener("error", () => ended && stream.close());
  };

  const busy = (form, words) => {
    const place = one(".busy", form);
    if (place) place.textContent = words;
    // Later, since a button that is disabled now would not be sent.
    setTimeout(() => all("button", form).forEach((button) => (button.disabled = Boolean(words))));
  };

  const classify = async (form) => {
    const into = document.getElementById(form.dataset.into);
    const files = [...one("input[type=file]", form).files];
    if (!files.length) return;
    busy(form, form.dataset.busy);
    const answer = await fetch(`/fragments${form.getAttribute("action")}`, { method: "POST", body: new FormData(form) }).catch(() => null);
    const isPage = answer?.ok && (answer.headers.get("Content-Type") ?? "").startsWith("text/html");
    const problem = isPage ? "" : ((await answer?.json().catch(() => null))?.detail ?? "The server does not answer.");
    busy(form, problem);
    one(".busy", form).classList.toggle("problem", Boolean(problem));
    if (problem) return all("button", form).forEach((button) => setTimeout(() => (button.disabled = false)));
    const text = await answer.text();
    into.replaceChildren(...new DOMParser().parseFromString(text, "text/html").body.children);
    all(".classified", into).forEach((article, index) => {
      if (!files[index]) return;
      const image = Object.assign(new Image(112, 112), { alt: "", src: URL.createObjectURL(files[index]) });
      image.addEventListener("error", () => image.remove()); // not every image is one for browsers
      image.addEventListener("load", () => URL.revokeObjectURL(image.src));
      article.prepend(image);
    });
    into.focus({ preventScroll: true });
    into.scrollIntoView({ block: "nearest" });
  };

  localTimes(document);
  follow();
  document.addEventListener("visibilitychange", follow);
  addEventListener("pagehide", stop);
  addEventListener("pageshow", (event) => event.persisted && (all("form").forEach((form) => busy(form, "")), follow()));
  one("#problems, #answer.plan")?.focus();
  if (one("#log")) one("#log").scrollTop = one("#log").scrollHeight;

  for (const form of all("form[data-busy]")) {
    form.addEventListener("submit", (event) => {
      if (!form.dataset.into) return busy(form, form.dataset.busy);
      event.preventDefault();
      classify(form);
    });
  }
  const search = one("form.search");
  search?.addEventListener("input", () => {
    const start = one("button[value=start]", search);
    if (!start) return;
    start.disabled = true;
    one(".outdated", search).hidden = false;
  });
  const zone = one("form.drop");
  for (const kind of ["dragover", "dragleave", "drop"]) {
    zone?.addEventListener(kind, (event) => {
      event.preventDefault();
      zone.classList.toggle("over", kind === "dragover");
      if (kind !== "drop" || !event.dataTransfer.files.length) return;
      one("input[type=file]", zone).files = event.dataTransfer.files;
      classify(zone);
    });
  }
}
