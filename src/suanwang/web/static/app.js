// Every page: log in by a link whose token stays in the fragment, which browsers send to nobody; and lists that a phone
// shows as cards, each cell with its column's name.
(() => {
  "use strict";
  const found = /^#token=([\x21-\x7e]+)$/.exec(location.hash);
  if (found) {
    history.replaceState(null, "", location.pathname + location.search);
    const body = new URLSearchParams({ token: decodeURIComponent(found[1]), next: location.pathname + location.search });
    fetch("/login", { method: "POST", body, credentials: "same-origin" }).then((answer) => {
      location.replace(answer.ok ? location.pathname + location.search : "/login");
    });
  }
})();
(() => {
  "use strict";
  const roles = { THEAD: "rowgroup", TBODY: "rowgroup", TR: "row", TD: "cell" };
  const label = () => {
    for (const table of document.querySelectorAll("table.lines:not([data-labelled])")) {
      if (table.querySelector("[rowspan], [colspan]")) continue;
      table.dataset.labelled = "";
      table.setAttribute("role", "table");
      const names = [...table.querySelectorAll("thead th")].map((head) => head.textContent.trim());
      // Cards are blocks, which would hide from assistive programs that this is a table.
      for (const part of table.querySelectorAll("thead, tbody, tr, td")) part.setAttribute("role", roles[part.tagName]);
      for (const head of table.querySelectorAll("th")) head.setAttribute("role", head.closest("thead") ? "columnheader" : "rowheader");
      for (const row of table.querySelectorAll("tbody tr")) {
        [...row.children].forEach((cell, at) => {
          if (cell.tagName === "TD" && names[at]) cell.dataset.label = names[at];
        });
      }
    }
  };
  document.addEventListener("DOMContentLoaded", label);
  document.addEventListener("htmx:afterSettle", label);
})();
