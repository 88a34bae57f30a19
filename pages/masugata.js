// Optional comfort; every page works without it.
"use strict";

// Times in the reader's own zone.
for (const time of document.querySelectorAll("time[data-local]")) {
  const at = new Date(time.dateTime);
  if (!Number.isNaN(at.getTime())) {
    const format = new Intl.DateTimeFormat(document.documentElement.lang, {
      year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", timeZoneName: "short",
    });
    time.textContent = format.format(at);
  }
}

// A button that shows what is being typed as password.
const first = document.querySelector("[autofocus]");
first?.removeAttribute("autofocus");
for (const input of document.querySelectorAll("input[data-reveal]")) {
  const button = document.createElement("button");
  const shown = () => input.type === "text";
  const label = () => {
    button.textContent = shown() ? input.dataset.hide : input.dataset.reveal;
    button.setAttribute("aria-pressed", String(shown()));
  };
  button.type = "button";
  button.className = "reveal";
  button.setAttribute("aria-controls", input.id);
  button.addEventListener("click", () => {
    input.type = shown() ? "password" : "text";
    label();
    input.focus();
  });
  label();
  const box = document.createElement("span");
  box.className = "with-reveal";
  input.replaceWith(box);
  box.append(input, button);
  // Browsers keep passwords of password fields only.
  if (input.form) input.form.addEventListener("submit", () => { input.type = "password"; });
}

// What went wrong is read first; else the first field, whose focus the rebuilding above took away.
const summary = document.getElementById("summary");
if (summary) summary.focus();
else first?.focus();

// A second press while the first is on its way does nothing.
for (const form of document.querySelectorAll("form[method=post]")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
  });
}
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});
