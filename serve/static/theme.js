// Before anything is drawn: the colours that were chosen here; without a choice those of the system.
"use strict";
(() => {
  let chosen = null;
  try { chosen = localStorage.getItem("edgequake-theme"); } catch { /* storage is switched off */ }
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
})();
