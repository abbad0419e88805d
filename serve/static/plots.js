// Drawing: traces and probabilities by uPlot, spectrograms and SSAM levels on a canvas of the same width.
"use strict";
const edgequake = (() => {
  const AXIS = 62, RIGHT = 28;  // pixels left and right of what is drawn, the same in every picture
  const LABEL = 16;  // of which for the name of an axis
  const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200];  // seconds between times on an axis
  const FONT = '12px system-ui, "DejaVu Sans", sans-serif';
  // Eleven stops of cividis (Nuñez, Anderton & Renslow 2018), which looks the same with any colour blindness.
  const CIVIDIS = [[0, 34, 78], [18, 53, 112], [59, 73, 108], [87, 93, 109], [112, 113, 115], [138, 134, 120], [165, 156, 116], [195, 179, 105], [225, 204, 85], [245, 220, 70], [254, 232, 56]];
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const two = (n) => String(n).padStart(2, "0");

  function clock(seconds, parts = 8) {
    const date = new Date(seconds * 1000);
    const text = `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())}`;
    return text.slice(0, parts);
  }
  function stamp(seconds, digits = 0) {  // 2022-01-02 05:12:30.500
    const text = new Date(Math.round(seconds * 1000)).toISOString();
    return `${text.slice(0, 10)} ${text.slice(11, digits ? 20 + digits : 19)}`;
  }
  async function fetchJson(address) {
    const answer = await fetch(address, { headers: { accept: "application/json" }, credentials: "same-origin" });
    if (!answer.ok) throw new Error(`${answer.status} ${(await answer.text()).slice(0, 200)}`);
    return answer.json();
  }
  function bytes(base64) { return Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)); }
  function inTime(times, from, to) {  // breaks lines where samples are missing
    const steps = times.slice(1).map((t, i) => t - times[i]).sort((a, b) => a - b);
    return Math.max(2.5 * (steps[steps.length >> 1] ?? 1), (to - from) / 2000);
  }
  function withGaps(times, columns, from, to) {
    if (times.length < 2) return [times, ...columns];
    const most = inTime(times, from, to), out = [[], ...columns.map(() => [])];
    times.forEach((t, i) => {
      if (i && t - times[i - 1] > most) { out[0].push((t + times[i - 1]) / 2); columns.forEach((_, k) => out[k + 1].push(null)); }
      out[0].push(t); columns.forEach((column, k) => out[k + 1].push(column[i]));
    });
    return out;
  }
  function axes(from, to, label) {
    const base = { stroke: colour("text"), grid: { stroke: colour("grid"), width: 1 }, ticks: { stroke: colour("grid") }, font: FONT };
    const short = (to - from) > 1200;
    return [
      { ...base, space: 80, size: 34, incrs: STEPS, values: (u, splits) => splits.map((t) => clock(t, short ? 5 : 8)) },
      { ...base, size: AXIS - LABEL, space: 26, label, labelSize: LABEL, labelFont: FONT, labelGap: 0, values: (u, splits) => splits.map(number) },
    ];
  }
  function number(value) {
    const size = Math.abs(value);
    if (size >= 1e5 || (size > 0 && size < 1e-3)) return value.toExponential(1).replace("e+", "e");
    return String(Number(value.toPrecision(4)));
  }
  function shade(u, start, stop, style, alpha) {
    const left = Math.max(u.bbox.left, u.valToPos(start, "x", true));
    const right = Math.min(u.bbox.left + u.bbox.width, u.valToPos(stop, "x", true));
    if (right <= left) return;
    u.ctx.save(); u.ctx.globalAlpha = alpha; u.ctx.fillStyle = style;
    u.ctx.fillRect(left, u.bbox.top, right - left, u.bbox.height); u.ctx.restore();
  }
  function line(u, time, style, dash) {
    const x = u.valToPos(time, "x", true);
    if (x < u.bbox.left || x > u.bbox.left + u.bbox.width) return;
    u.ctx.save(); u.ctx.strokeStyle = style; u.ctx.lineWidth = 2 * devicePixelRatio; u.ctx.setLineDash(dash.map((d) => d * devicePixelRatio));
    u.ctx.beginPath(); u.ctx.moveTo(x, u.bbox.top); u.ctx.lineTo(x, u.bbox.top + u.bbox.height); u.ctx.stroke(); u.ctx.restore();
  }
  function marks(given) {  // onset, uncertainty and a moved onset over a plot
    return (u) => {
      const m = given();
      if (!m) return;
      if (m.stop) shade(u, m.onset, m.stop, colour("kept"), 0.18);
      if (m.uncertainty) shade(u, m.onset - m.uncertainty, m.onset + m.uncertainty, colour("onset"), 0.25);
      if (m.onset) line(u, m.onset, colour("onset"), []);
      if (m.moved) line(u, m.moved, colour("moved"), [6, 4]);
    };
  }
  function holder(parent, title, label) {
    const box = document.createElement("figure");
    box.className = "plot";
    const head = document.createElement("h3");
    head.textContent = title;
    const body = document.createElement("div");
    body.setAttribute("role", "img"); body.setAttribute("aria-label", label);
    box.append(head, body); parent.append(box);
    return body;
  }
  const width = (element) => Math.max(260, Math.floor(element.clientWidth));

  function trace(parent, picture, from, to, given, onPick) {
    const title = `${picture.channel}${picture.live ? "" : picture.times.length ? ": dead" : ": no samples"}`;
    const body = holder(parent, title, `Trace of ${picture.channel}, ${clock(from)} to ${clock(to)}, in ${picture.unit || "no unit"}`);
    if (!picture.times.length) return null;
    const columns = picture.high ? [picture.low, picture.high] : [picture.low];
    const series = columns.map(() => ({ stroke: colour("trace"), width: picture.high ? 0.6 : 1, points: { show: false }, spanGaps: false }));
    const u = new uPlot({
      width: width(body), height: 150, padding: [8, RIGHT, 0, 0], legend: { show: false }, cursor: { drag: { x: false, y: false }, points: { show: false } },
      scales: { x: { time: false, range: () => [from, to] }, y: { range: (_, low, high) => low === high ? [low - 1, high + 1] : uPlot.rangeNum(low, high, 0.08, true) } },
      series: [{}, ...series], bands: picture.high ? [{ series: [2, 1], fill: colour("trace") }] : [],
      axes: axes(from, to, picture.unit), hooks: { draw: given ? [marks(given)] : [] },
    }, withGaps(picture.times, columns, from, to), body);
    if (onPick) u.over.addEventListener("click", (event) => onPick(u.posToVal(event.offsetX, "x")));
    return u;
  }
  function probability(parent, picture, from, to, threshold, given) {
    const body = holder(parent, "Probability of an onset (solid) and of an event (dashed)", `Probabilities, ${clock(from)} to ${clock(to)}, 0 to 1`);
    const dashed = { dash: [6, 4], width: 1.5, points: { show: false } };
    return new uPlot({
      width: width(body), height: 130, padding: [8, RIGHT, 0, 0], legend: { show: false }, cursor: { drag: { x: false, y: false }, points: { show: false } },
      scales: { x: { time: false, range: () => [from, to] }, y: { range: () => [0, 1.02] } },
      series: [{}, { stroke: colour("onset"), width: 1.8, points: { show: false } }, { stroke: colour("moved"), ...dashed }],
      axes: axes(from, to, "probability"),
      hooks: { draw: [(u) => {
        if (threshold) {
          const y = u.valToPos(threshold, "y", true);
          u.ctx.save(); u.ctx.strokeStyle = colour("edge"); u.ctx.setLineDash([2, 3]); u.ctx.beginPath();
          u.ctx.moveTo(u.bbox.left, y); u.ctx.lineTo(u.bbox.left + u.bbox.width, y); u.ctx.stroke(); u.ctx.restore();
        }
      }, ...(given ? [marks(given)] : [])] },
    }, withGaps(picture.times, [picture.onset, picture.event], from, to), body);
  }
  function spectrogram(parent, picture, from, to) {
    const isSsam = Boolean(picture.bands);
    const title = isSsam ? `SSAM levels of ${picture.channel}` : `Spectrogram of ${picture.channel}`;
    const body = holder(parent, `${title}, ${picture.label}: ${picture.range[0]} (dark) to ${picture.range[1]} (bright)`, `${title}, ${clock(from)} to ${clock(to)}`);
    body.classList.add("spectrogram");
    const canvas = document.createElement("canvas");
    body.append(canvas);
    const w = width(body), h = isSsam ? 120 : 170, ratio = devicePixelRatio, bottom = 34, top = 6;
    canvas.width = w * ratio; canvas.height = h * ratio;
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    const data = bytes(picture.data), image = new ImageData(picture.columns, picture.rows);
    for (let row = 0; row < picture.rows; row++) for (let column = 0; column < picture.columns; column++) {
      const value = data[row * picture.columns + column], at = ((picture.rows - 1 - row) * picture.columns + column) * 4;
      if (value === 255) continue;  // stays transparent: no samples
      const place = value / 254 * (CIVIDIS.length - 1), low = Math.min(Math.floor(place), CIVIDIS.length - 2), share = place - low;
      for (let i = 0; i < 3; i++) image.data[at + i] = CIVIDIS[low][i] + share * (CIVIDIS[low + 1][i] - CIVIDIS[low][i]);
      image.data[at + 3] = 255;
    }
    const small = document.createElement("canvas");
    small.width = picture.columns; small.height = picture.rows;
    small.getContext("2d").putImageData(image, 0, 0);
    const x = (t) => AXIS + (t - from) / (to - from) * (w - AXIS - RIGHT), high = h - bottom - top;
    context.save();
    context.beginPath(); context.rect(AXIS, top, w - AXIS - RIGHT, high); context.clip();
    context.imageSmoothingEnabled = false;
    context.drawImage(small, x(picture.start), top, x(picture.stop) - x(picture.start), high);
    context.restore();
    context.font = FONT; context.fillStyle = colour("text"); context.strokeStyle = colour("grid"); context.strokeRect(AXIS, top, w - AXIS - RIGHT, high);
    context.textAlign = "right"; context.textBaseline = "middle";
    if (isSsam && picture.edges) picture.edges.forEach((hz, i) => context.fillText(number(hz), AXIS - 6, Math.min(top + high - 5, Math.max(top + 5, top + high * (1 - i / picture.rows)))));
    else if (isSsam) picture.bands.forEach((name, i) => context.fillText(name, AXIS - 6, top + high * (1 - (i + 0.5) / picture.rows)));
    else {
      const most = picture.frequencies[1], step = niceStep(most / 4);
      for (let f = 0; f <= most * 0.999; f += step) context.fillText(number(f), AXIS - 6, Math.min(top + high - 5, Math.max(top + 5, top + high * (1 - f / most))));
    }
    context.save(); context.translate(9, top + high / 2); context.rotate(-Math.PI / 2); context.textAlign = "center";
    context.fillText(isSsam && !picture.edges ? "band" : "frequency (Hz)", 0, 0); context.restore();
    context.textAlign = "center"; context.textBaseline = "top";
    const span = to - from, step = STEPS.find((s) => span / s <= (w - AXIS) / 80) ?? 86400;
    for (let t = Math.ceil(from / step) * step; t <= to; t += step) context.fillText(clock(t, span > 1200 ? 5 : 8), Math.min(w - 20, x(t)), h - bottom + 8);
  }
  function niceStep(rough) {
    const power = 10 ** Math.floor(Math.log10(rough));
    return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
  }
  return { AXIS, RIGHT, FONT, colour, clock, stamp, fetchJson, bytes, trace, probability, spectrogram, number };
})();
