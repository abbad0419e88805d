// One event: its pictures, an onset chosen by mouse or keys, and the keys of a reviewer.
"use strict";
(() => {
  const plots = document.getElementById("plots"), state = document.getElementById("event-state"), field = document.getElementById("onset");
  const address = `/events/${encodeURIComponent(plots.dataset.event)}`;
  let event = null, probability = null, moved = plots.dataset.moved ? Number(plots.dataset.moved) : null, drawn = [];
  const marks = () => (event ? { onset: event.onset, stop: event.stop_of_event, uncertainty: event.uncertainty, moved } : null);

  async function load() {
    try {
      event = await edgequake.fetchJson(`${address}/data`);
      state.textContent = event.problem ?? `${edgequake.stamp(event.start)} to ${edgequake.stamp(event.stop)} UTC`;
      if (!event.problem) draw();
      plots.dataset.drawn = "1";
    } catch (problem) { state.textContent = `The samples cannot be read: ${problem.message}`; return; }
    if (event.problem) return;
    try {
      probability = await edgequake.fetchJson(`${address}/probability`);
      if (probability.problem) state.textContent += `; no probabilities: ${probability.problem}`;
      else draw();
    } catch (problem) { state.textContent += `; no probabilities: ${problem.message}`; }
    plots.dataset.probability = probability?.times ? "drawn" : "none";
  }
  function draw() {
    const box = document.createElement("div");
    plots.replaceChildren(box);
    drawn = event.traces.map((picture) => edgequake.trace(box, picture, event.start, event.stop, marks, move));
    if (event.spectrogram) edgequake.spectrogram(box, event.spectrogram, event.start, event.stop);
    if (probability?.times) drawn.push(edgequake.probability(box, probability, event.start, event.stop, probability.threshold, marks));
  }
  function move(seconds) {
    moved = Math.round(seconds * 1000) / 1000;
    field.value = edgequake.stamp(moved, 3);
    drawn.forEach((u) => u?.redraw(false));
  }
  field.addEventListener("change", () => {
    const seconds = Date.parse(`${field.value.trim().replace(" ", "T").replace(/Z$/, "")}Z`) / 1000;
    if (Number.isFinite(seconds)) { moved = seconds; drawn.forEach((u) => u?.redraw(false)); }
  });
  document.addEventListener("keydown", (key) => {
    if (key.ctrlKey || key.metaKey || key.altKey || key.target.matches("input, textarea, select")) {
      if (key.key === "Escape") key.target.blur();
      return;
    }
    const press = (id) => { const at = document.getElementById(id); if (at) { key.preventDefault(); at.click(); } };
    const focus = (id) => { key.preventDefault(); document.getElementById(id).focus(); };
    const step = key.shiftKey ? 1 : 0.1;
    switch (key.key) {
      case "a": press("accept"); break;
      case "r": press("reject"); break;
      case "u": press("undo"); break;
      case "n": press("next"); break;
      case "p": press("previous"); break;
      case "c": focus("class"); break;
      case "o": focus("onset"); break;
      case "ArrowLeft": case "ArrowRight":
        if (!event) return;
        key.preventDefault();
        move((moved ?? event.onset) + (key.key === "ArrowLeft" ? -step : step));
        break;
      case "Enter":
        if (key.target === document.body || key.target.id === "content") if (moved !== null) press("move-onset");
        break;
      default:
    }
  });
  document.addEventListener("edgequake:colours", () => event && !event.problem && draw());
  addEventListener("resize", () => event && !event.problem && draw());
  load();
})();
