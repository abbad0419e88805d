// The page "Days": a line for each hour; dragging over the lines, or a click, selects a span to request or an event to add.
"use strict";
(() => {
  const canvas = document.getElementById("day"), state = document.getElementById("day-state");
  const start = document.getElementById("start"), stop = document.getElementById("stop");
  const addStart = document.getElementById("add-start"), addStop = document.getElementById("add-stop");
  const LEFT = 52, RIGHT = 12, TOP = 22, BOTTOM = 40;
  let day = null, chosen = null, from = null;
  const lineHeight = () => (canvas.clientWidth < 600 ? 22 : 30);

  async function load() {
    try {
      day = await edgequake.fetchJson(`/days/data?${new URLSearchParams({ station: canvas.dataset.station, day: canvas.dataset.day, channel: canvas.dataset.channel })}`);
      state.textContent = day.columns ? `${day.station} ${day.channel}: ${day.covered_hours} h of samples; the space between two lines is ${day.spacing} ${day.unit}, larger motion is clipped` : "No samples of this day are stored.";
      draw();
      canvas.dataset.drawn = "1";
    } catch (problem) { state.textContent = `The day cannot be drawn: ${problem.message}`; }
  }
  const place = (seconds) => {
    const hour = Math.min(23, Math.floor(seconds / 3600));
    return { x: LEFT + (seconds - hour * 3600) / 3600 * (canvas.clientWidth - LEFT - RIGHT), y: TOP + (hour + 0.5) * lineHeight() };
  };
  function draw() {
    const w = canvas.clientWidth, h = TOP + BOTTOM + 24 * lineHeight(), ratio = devicePixelRatio;
    canvas.width = w * ratio; canvas.height = h * ratio; canvas.style.height = `${h}px`;
    const c = canvas.getContext("2d");
    c.scale(ratio, ratio);
    c.font = edgequake.FONT; c.textBaseline = "middle"; c.fillStyle = edgequake.colour("text");
    const wide = w - LEFT - RIGHT, step = w < 600 ? 15 : 5;
    for (let minute = 0; minute <= 60; minute += step) {
      const x = LEFT + minute / 60 * wide;
      c.strokeStyle = edgequake.colour("grid"); c.beginPath(); c.moveTo(x, TOP); c.lineTo(x, h - BOTTOM); c.stroke();
      c.textAlign = "center"; c.fillText(String(minute), Math.min(x, w - 9), h - BOTTOM + 12);
    }
    c.textAlign = "center"; c.fillText("minutes after the hour (UTC)", LEFT + wide / 2, h - 9);
    c.textAlign = "left"; c.fillText("hour", 2, 9);
    for (let hour = 0; hour < 24; hour++) { c.textAlign = "right"; c.fillText(`${String(hour).padStart(2, "0")}:00`, LEFT - 6, TOP + (hour + 0.5) * lineHeight()); }
    day.kept.forEach(([a, b]) => pieces(a, b, (x, y, width) => { c.globalAlpha = 0.35; c.fillStyle = edgequake.colour("kept"); c.fillRect(x, y - lineHeight() / 2, width, lineHeight()); c.globalAlpha = 1; }));
    if (day.columns) lines(c, wide);
    // Dense lines hide the shade: a bar under them stays visible.
    day.kept.forEach(([a, b]) => pieces(a, b, (x, y, width) => { c.fillStyle = edgequake.colour("kept"); c.fillRect(x, y + lineHeight() / 2 - 4, Math.max(3, width), 4); }));
    marks(c);
    day.added.forEach((event) => markAdded(c, event));
    if (chosen) pieces(...chosen, (x, y, width) => { c.strokeStyle = edgequake.colour("chosen"); c.lineWidth = 2; c.strokeRect(x, y - lineHeight() / 2 + 1, Math.max(2, width), lineHeight() - 2); c.lineWidth = 1; });
  }
  function lines(c, wide) {
    const below = edgequake.bytes(day.below), above = edgequake.bytes(day.above), n = day.columns;
    c.strokeStyle = edgequake.colour("trace"); c.lineWidth = Math.max(0.5, wide / n);
    c.beginPath();
    for (let hour = 0; hour < 24; hour++) {
      const y = TOP + (hour + 0.5) * lineHeight();
      for (let i = 0; i < n; i++) {
        const low = below[hour * n + i], high = above[hour * n + i];
        if (low === 255 || high === 255) continue;
        const x = LEFT + (i + 0.5) / n * wide;
        c.moveTo(x, y - (high - 100) / 100 * lineHeight() - 0.4); c.lineTo(x, y - (low - 100) / 100 * lineHeight() + 0.4);
      }
    }
    c.stroke(); c.lineWidth = 1;
  }
  function markAdded(c, event) {
    const { x, y } = place(event.onset), bottom = y + lineHeight() / 2;
    c.fillStyle = edgequake.colour("moved"); c.beginPath(); c.moveTo(x - 6, bottom); c.lineTo(x + 6, bottom); c.lineTo(x, bottom - 10); c.fill();
  }
  // Triangles first, then a number where it covers neither a triangle nor another number: the table has them all.
  function marks(c) {
    const at = day.events.map((event) => place(event.onset)), taken = at.map(({ x, y }) => ({ y, left: x - 6, right: x + 6 }));
    c.fillStyle = edgequake.colour("onset");
    at.forEach(({ x, y }) => { const top = y - lineHeight() / 2; c.beginPath(); c.moveTo(x - 5, top); c.lineTo(x + 5, top); c.lineTo(x, top + 9); c.fill(); });
    c.font = `bold ${edgequake.FONT}`; c.textAlign = "left"; c.strokeStyle = edgequake.colour("back"); c.fillStyle = edgequake.colour("text");
    at.forEach(({ x, y }, i) => {
      const text = String(i + 1), width = c.measureText(text).width, top = y - lineHeight() / 2;
      const left = [x + 7, x - 7 - width].find((from) => from > LEFT && from + width < canvas.clientWidth && !taken.some((one) => one.y === y && one.left < from + width && one.right > from));
      if (left === undefined) return;
      taken.push({ y, left, right: left + width });
      c.lineWidth = 3; c.strokeText(text, left, top + 5); c.lineWidth = 1; c.fillText(text, left, top + 5);
    });
    c.font = edgequake.FONT;
  }
  function pieces(a, b, paint) {
    for (let hour = Math.max(0, Math.floor(a / 3600)); hour < 24 && hour * 3600 < b; hour++) {
      const first = Math.max(a, hour * 3600), last = Math.min(b, (hour + 1) * 3600), at = place(first);
      paint(at.x, at.y, (last - first) / 3600 * (canvas.clientWidth - LEFT - RIGHT));
    }
  }
  function timeAt(event) {
    const box = canvas.getBoundingClientRect();
    const hour = Math.min(23, Math.max(0, Math.floor((event.clientY - box.top - TOP) / lineHeight())));
    const share = Math.min(1, Math.max(0, (event.clientX - box.left - LEFT) / (canvas.clientWidth - LEFT - RIGHT)));
    return Math.round(hour * 3600 + share * 3600);
  }
  function choose(a, b) {
    chosen = [Math.min(a, b), Math.max(a, b) + 1];
    start.value = edgequake.stamp(day.start + chosen[0]); stop.value = edgequake.stamp(day.start + chosen[1]);
    addStart.value = start.value; addStop.value = a === b ? "" : stop.value;
    draw();
  }
  canvas.addEventListener("pointerdown", (event) => { if (day) { from = timeAt(event); canvas.setPointerCapture(event.pointerId); choose(from, from); } });
  canvas.addEventListener("pointermove", (event) => { if (from !== null) choose(from, timeAt(event)); });
  canvas.addEventListener("pointerup", (event) => { if (from !== null) choose(from, timeAt(event)); from = null; });
  canvas.addEventListener("pointercancel", () => { from = null; });
  [start, stop].forEach((field) => field.addEventListener("change", () => {
    const [a, b] = [start, stop].map((one) => Date.parse(`${one.value.trim().replace(" ", "T").replace(/Z$/, "")}Z`) / 1000 - (day?.start ?? 0));
    if (day && b > a) { chosen = [a, b]; draw(); }
  }));
  document.addEventListener("edgequake:colours", () => day && draw());
  addEventListener("resize", () => day && draw());
  load();
})();
