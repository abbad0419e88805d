// Tables with a box in each row: how many are selected, and selecting all of a page.
"use strict";
(() => {
  function tell(form) {
    const boxes = [...form.querySelectorAll('tbody input[type="checkbox"]')], n = boxes.filter((box) => box.checked).length;
    const all = form.querySelector(".select-all"), at = form.querySelector(".n-selected");
    boxes.forEach((box) => box.closest("tr").classList.toggle("selected", box.checked));
    if (at) at.textContent = n ? `${n} selected` : "none selected";
    if (all) { all.checked = n > 0 && n === boxes.length; all.indeterminate = n > 0 && n < boxes.length; }
  }
  document.addEventListener("change", (event) => {
    const form = event.target.closest("form.selecting");
    if (!form || event.target.type !== "checkbox") return;
    if (event.target.matches(".select-all")) form.querySelectorAll('tbody input[type="checkbox"]').forEach((box) => { box.checked = event.target.checked; });
    tell(form);
  });
  const tellAll = () => document.querySelectorAll("form.selecting").forEach(tell);
  document.addEventListener("htmx:afterSwap", tellAll);
  addEventListener("pageshow", tellAll);
})();
