// Every page: log in by a link whose token stays in the fragment, which browsers send to nobody.
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
