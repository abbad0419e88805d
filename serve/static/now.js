// The page "Now": asks for the newest figures again and again while somebody looks.
"use strict";
(() => {
  const plots = document.getElementById("plots"), state = document.getElementById("live-state"), pause = document.getElementById("pause");
  const field = document.getElementById("add-start");  // of the form that adds an event
  let picked = null, drawn = [];
  let isPaused = false, newest = null, timer = null, nFailed = 0;
  const every = () => (Number(plots.dataset.minutes) <= 30 ? 2000 : 20000);

  document.getElementById("window").addEventListener("change", (event) => event.currentTarget.requestSubmit());
  pause.addEventListener("click", () => {
    isPaused = !isPaused;
    pause.setAttribute("aria-pressed", String(isPaused)); pause.textContent = isPaused ? "Go on" : "Pause";
    if (!isPaused) ask();
  });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) ask(); });
  document.addEventListener("edgequake:colours", () => newest && draw());
  addEventListener("resize", () => newest && draw());

  async function ask() {
    clearTimeout(timer);
    if (isPaused || document.hidden) return;
    try {
      const found = await edgequake.fetchJson(`/now/data?${new URLSearchParams({ station: plots.dataset.station, minutes: plots.dataset.minutes })}`);
      const isNew = !newest || found.stop !== newest.stop || found.traces.length !== newest.traces.length;
      newest = found; nFailed = 0;
      if (isNew) draw();
      tell();
    } catch (problem) {
      nFailed += 1;
      state.textContent = `No answer from the server: ${problem.message}`;
    }
    timer = setTimeout(ask, every() * Math.min(8, 1 + nFailed));
  }
  function tell() {
    if (!newest.traces.length) { state.textContent = "No samples are stored. Start the run with --monitor, or with --archive-bytes."; return; }
    const until = `until ${edgequake.stamp(newest.stop)} UTC`;
    state.textContent = newest.live ? `${newest.station} ${until}` : `${newest.station} ${until}; this run keeps no monitor, so this is the end of its archive`;
  }
  function draw() {
    const box = document.createElement("div"), { start, stop } = newest;
    const height = plots.offsetHeight;
    plots.style.minHeight = `${height}px`;  // else the page would jump while it is drawn anew
    plots.replaceChildren(box);
    drawn = newest.traces.map((picture) => edgequake.trace(box, picture, start, stop, () => (picked === null ? null : { moved: picked }), pick));
    if (newest.spectrogram) edgequake.spectrogram(box, newest.spectrogram, start, stop);
    if (newest.probability) edgequake.probability(box, newest.probability, start, stop, newest.threshold);
    plots.style.minHeight = "";
    plots.dataset.drawn = String(Number(plots.dataset.drawn ?? 0) + 1);
    plots.dataset.stop = String(stop);
  }
  function pick(seconds) {
    if (!field) return;
    picked = Math.round(seconds * 1000) / 1000;
    field.value = edgequake.stamp(picked, 3);
    drawn.forEach((u) => u?.redraw(false));
  }
  ask();
})();
