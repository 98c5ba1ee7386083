// Pages work without this script; with it they are a little kinder. Every word comes from the page.
const all = (selector, root = document) => root.querySelectorAll(selector);
const disabled = (button, on) => on ? button.setAttribute("aria-disabled", "true") : button.removeAttribute("aria-disabled");

// A form is sent once, however often its button is pressed; and a password goes only where the form itself goes.
for (const form of all("form[data-once]")) {
  form.addEventListener("submit", (event) => {
    const button = event.submitter;
    if (form.dataset.sent || button?.getAttribute("aria-disabled")) return event.preventDefault();
    form.dataset.sent = "yes";
    if (button) disabled(button, true);
    if (button?.hasAttribute("formaction")) for (const input of all("[autocomplete$=password]", form)) input.disabled = true;
  });
}
// Coming back by the back button finds the form ready again.
addEventListener("pageshow", (event) => {
  for (const form of all("form[data-once]")) delete form.dataset.sent;
  for (const input of all("input:disabled")) input.disabled = false;  // a reload may remember that, too
  if (event.persisted) for (const button of all("[aria-disabled]")) disabled(button, false);
});

// Enter in the new address presses the button beside it, not the page's first.
for (const button of all("[data-enter]")) {
  document.getElementById(button.dataset.enter).addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing) return;
    event.preventDefault();
    button.click();
  });
}

// Show and hide a password.
for (const button of all("[data-show]")) {
  const input = document.getElementById(button.dataset.show);
  const { label, hide, hideLabel } = button.dataset;
  const texts = { password: [button.textContent, label], text: [hide, hideLabel] };
  button.hidden = false;
  button.addEventListener("click", () => {
    input.type = input.type === "password" ? "text" : "password";
    button.textContent = texts[input.type][0];
    button.setAttribute("aria-label", texts[input.type][1]);
  });
}

// When another mail may be asked for: it counts from the server's figure, by a clock that nobody sets.
for (const button of all("[data-resend]")) {
  const timer = document.querySelector("[data-wait]"), ready = document.querySelector("[data-ready]");
  const end = performance.now() + button.dataset.resend * 1000;
  const tick = () => {
    const left = Math.ceil((end - performance.now()) / 1000);
    disabled(button, left > 0);
    timer.textContent = left > 0 ? timer.dataset.wait.replace("{n}", left) : "";
    if (left > 0) setTimeout(tick, 250);
    else if (button.dataset.resend > 0) ready.textContent = ready.dataset.ready;
  };
  tick();
}

// "Sent 3 s ago", going on.
const since = new WeakMap();
setInterval(() => {
  for (const text of all("[data-ago]")) {
    if (!since.has(text)) since.set(text, performance.now() - text.dataset.ago * 1000);
    const seconds = Math.floor((performance.now() - since.get(text)) / 1000);
    const words = seconds < 60 ? text.dataset.seconds.replace("{n}", seconds) : text.dataset.minutes.replace("{n}", Math.floor(seconds / 60));
    if (text.textContent !== words) text.textContent = words;
  }
}, 500);

// How the mail fares: ask, ever less often, and take the new words from the server, which has them in every language.
const delivery = document.querySelector("#delivery[data-status]");
if (delivery) {
  const pauses = [1, 1, 1, 2, 2, 3, 5, 5, 10, 10, 20, 30, 30, 60, 60, 60];
  const look = async () => {
    try {
      const { state } = await (await fetch(delivery.dataset.status)).json();
      if (state && state !== "unknown" && state !== delivery.dataset.state) {
        const page = new DOMParser().parseFromString(await (await fetch(delivery.dataset.page)).text(), "text/html");
        for (const old of all("[data-news]", delivery)) {
          const news = page.querySelector(`#delivery [data-news=${old.dataset.news}]`);
          if (news) old.innerHTML = news.innerHTML;
        }
        delivery.dataset.state = state;
        if (state === "failed") document.querySelector(".change").open = true;
      }
      if (state === "failed" || state === "unknown") return;
    } catch {
      // offline: the next look may do better
    }
    if (pauses.length) setTimeout(look, pauses.shift() * 1000);
  };
  setTimeout(look, pauses.shift() * 1000);
}
