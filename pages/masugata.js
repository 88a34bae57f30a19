// Optional comfort; every page works without it.
"use strict";

// Times in the tenant's zone, or the reader's own where there is no tenant.
for (const time of document.querySelectorAll("time[data-local]")) {
  const at = new Date(time.dateTime);
  if (!Number.isNaN(at.getTime())) {
    const format = new Intl.DateTimeFormat(document.documentElement.lang, {
      year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", timeZoneName: "short",
      timeZone: document.documentElement.dataset.zone,
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

// The menu is open where it stands beside the page, and closed where it would push the page away.
const menu = document.querySelector("details.menu");
if (menu && matchMedia("(max-width: 59.99rem)").matches) menu.open = false;

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

// Passkeys (W3C Web Authentication). A page says in its form what the browser is to be asked; the answer goes into the
// form's hidden fields, unread. Where this does not run, the forms stay hidden and the page says what works instead.
if (window.PublicKeyCredential && navigator.credentials) {
  const decode = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
  const encode = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const minutes = 60e3;
  // The server takes an answer for ten minutes.
  const patience = 9 * minutes;
  const listed = (form) => form.dataset.credentials.split(",").filter(Boolean).map((entry) => {
    const [id, transports] = entry.split(":");
    return { type: "public-key", id: decode(id), ...(transports && { transports: transports.split(" ") }) };
  });
  const toUse = (form) => ({
    challenge: decode(form.dataset.challenge), rpId: form.dataset.relyingParty, timeout: 5 * minutes,
    userVerification: form.dataset.verify, allowCredentials: listed(form),
  });
  const toSetUp = (form) => ({
    challenge: decode(form.dataset.challenge), timeout: 5 * minutes, attestation: "none",
    rp: { id: form.dataset.relyingParty, name: form.dataset.relyingPartyName },
    user: { id: decode(form.dataset.user), name: form.dataset.login, displayName: form.dataset.person },
    pubKeyCredParams: [-7, -8, -257].map((alg) => ({ type: "public-key", alg })),
    excludeCredentials: listed(form),
    authenticatorSelection: {
      userVerification: form.dataset.verify, residentKey: form.dataset.verify, requireResidentKey: form.dataset.verify === "required",
    },
  });
  const answer = (form, credential) => {
    const { response } = credential;
    const fields = form.dataset.passkey === "create"
      ? { client_data: response.clientDataJSON, attestation: response.attestationObject }
      : { client_data: response.clientDataJSON, authenticator_data: response.authenticatorData, signature: response.signature,
          user_handle: response.userHandle ?? new ArrayBuffer(0), credential: credential.rawId };
    for (const [name, value] of Object.entries(fields)) form.elements[name].value = encode(value);
    if (form.elements.transports) form.elements.transports.value = (response.getTransports?.() ?? []).join(" ");
    form.submit();
  };

  let autofill = null;
  for (const form of document.querySelectorAll("form[data-passkey]")) {
    const says = form.querySelector("[data-passkey-says]");
    form.hidden = false;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      autofill?.abort();
      says.hidden = true;
      try {
        answer(form, form.dataset.passkey === "create"
          ? await navigator.credentials.create({ publicKey: toSetUp(form) })
          : await navigator.credentials.get({ publicKey: toUse(form) }));
      } catch (error) {
        says.textContent = error.name === "InvalidStateError" ? says.dataset.known : says.dataset.failed;
        says.hidden = false;
        delete form.dataset.sent;
      }
    });
  }
  for (const note of document.querySelectorAll("[data-without-passkeys]")) note.hidden = true;
  for (const note of document.querySelectorAll("[data-with-passkeys]")) note.hidden = false;
  // The first field may have been hidden when it was to be focused.
  if (!summary && document.activeElement === document.body) first?.focus();

  // A passkey among what the browser offers for the sign-in name.
  const offering = document.querySelector("form[data-autofill]");
  if (offering) {
    (async () => {
      if (!await PublicKeyCredential.isConditionalMediationAvailable?.()) return;
      autofill = new AbortController();
      setTimeout(() => autofill.abort(), patience);
      try {
        answer(offering, await navigator.credentials.get({ publicKey: toUse(offering), mediation: "conditional", signal: autofill.signal }));
      } catch {
        // Nobody chose one.
      }
    })();
  }
}

// What only passes through here goes on by itself.
document.querySelector("form[data-submit]")?.requestSubmit();
