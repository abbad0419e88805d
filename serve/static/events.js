// The list of events: how many are selected, and selecting all of a page.
"use strict";
(() => {
  const boxes = () => [...document.querySelectorAll('#bulk input[name="event"]')];
  function tell() {
    const n = boxes().filter((box) => box.checked).length, at = document.getElementById("n-selected"), all = document.getElementById("select-all");
    boxes().forEach((box) => box.closest("tr").classList.toggle("selected", box.checked));
    if (at) at.textContent = n ? `${n} selected` : "none selected";
    if (all) { all.checked = n > 0 && n === boxes().length; all.indeterminate = n > 0 && n < boxes().length; }
  }
  document.addEventListener("change", (event) => {
    if (event.target.id === "select-all") boxes().forEach((box) => { box.checked = event.target.checked; });
    if (event.target.matches?.("#bulk input")) tell();
  });
  document.addEventListener("htmx:afterSwap", tell);
  addEventListener("pageshow", tell);
})();
