// The map: a job that changed its site glides from the old one to the new one.
(() => {
  "use strict";
  let before = new Map();
  const dots = () => document.querySelectorAll("#map [data-job]");
  const place = (dot) => ({ site: dot.dataset.at, x: dot.cx.baseVal.value, y: dot.cy.baseVal.value });
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.target.id === "network") before = new Map([...dots()].map((dot) => [dot.dataset.job, place(dot)]));
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target.id !== "network" || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    for (const dot of dots()) {
      const old = before.get(dot.dataset.job);
      const now = place(dot);
      if (old && old.site !== now.site) {
        const away = `translate(${old.x - now.x}px, ${old.y - now.y}px)`;
        dot.animate([{ transform: away }, { transform: "none" }], { duration: 1800, easing: "ease-in-out" });
      } else if (!old && before.size) {
        dot.animate([{ opacity: 0 }, { opacity: 1 }], { duration: 500 });
      }
    }
  });
})();
