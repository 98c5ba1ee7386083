// Pages work without this script; it only adds to them. Every text comes from the page. The syntax is that of ES2019, as
// browsers inside chat apps are old (docs/reference/pages.md), and one unknown sign would leave them without any of it.
const all = (selector, root = document) => root.querySelectorAll(selector);
const disabled = (button, on) => on ? button.setAttribute("aria-disabled", "true") : button.removeAttribute("aria-disabled");

// A page that answers a form is opened anew by a reload, or by coming back to it: it is not sent again.
const delivery = document.querySelector("#delivery"), answer = document.querySelector("[data-page]");
if (answer || document.querySelector(".summary")) {
  history.replaceState(null, "", answer ? answer.dataset.page.split("?")[0] : location.href);
}

// A form is sent once, however often its button is pressed; and a password goes only where the form itself goes.
const release = (form) => {
  delete form.dataset.sent;
  for (const button of all("button[data-pressed]")) {
    delete button.dataset.pressed;
    disabled(button, false);
  }
  for (const input of all("input:disabled", form)) input.disabled = false;
};
for (const form of all("form[data-once]")) {
  form.addEventListener("submit", (event) => {
    const button = event.submitter || document.activeElement.closest("button");  // before Chromium 81 there is no submitter
    if (form.dataset.sent || button && button.getAttribute("aria-disabled")) return event.preventDefault();
    form.dataset.sent = "yes";
    if (button) {
      // Enter presses the first button of the form, which nobody sees: the other one looks pressed.
      const seen = button.classList.contains("unseen") && form.querySelector("button.main") || button;
      seen.dataset.pressed = "yes";
      disabled(seen, true);
      if (button.hasAttribute("formaction")) for (const input of all(".secret input", form)) input.disabled = true;
    }
    // The request may lead nowhere: stopped, failed, or answered without a page. But where each way takes a second, as on a train,
    // a new connection and its answer take ten: a second press would throw that answer away, and the session in it.
    setTimeout(release, 15000, form);
  });
}
// Signing in, in one tab, changes the token that the forms of all tabs are sent with: the cookie has the present one.
const token = new RegExp(`(?:^|; )${location.protocol === "https:" ? "__Host-" : ""}csrftoken=(\\w+)`);
const renewToken = (form) => {
  const [, present] = document.cookie.match(token) || [];
  if (present && form.elements.csrfmiddlewaretoken) form.elements.csrfmiddlewaretoken.value = present;
};
addEventListener("submit", (event) => renewToken(event.target), true);
// Coming back by the back button finds the forms ready again.
addEventListener("pageshow", () => all("form[data-once]").forEach(release));

// Where a page opens at a field, a screen reader passes over the messages above it: they describe the field too. So they are
// live without the role of a status, whose text Firefox leaves out of a description.
const first = document.querySelector("main input[autofocus]");
for (const [number, note] of first ? [...all("main > p.note, #suggestion")].entries() : []) {
  note.id = note.id || `message_${number}`;
  first.setAttribute("aria-describedby", `${note.id} ${first.getAttribute("aria-describedby") || ""}`.trim());
}

// Enter that ends a composition chooses a word, and sends nothing. (Safari has ended the composition by then: 229.)
addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.isComposing || event.keyCode === 229)) event.preventDefault();
}, true);

// Calls `act` after each change, but not while an input method is still composing a word.
const onTyped = (input, act) => {
  input.addEventListener("input", (event) => event.isComposing || act());
  input.addEventListener("compositionend", () => act());
};

// A code is sent when its last digit is there, typed or pasted. The server decides what a digit is; this knows most of them.
for (const input of all("[data-digits]")) {
  if (input.form.querySelector("[type=password]")) continue;
  onTyped(input, () => {
    const digits = input.value.match(/\p{Nd}/gu) || [];
    if (digits.length === Number(input.dataset.digits)) input.form.querySelector("button.main").click();
  });
}

// What is wrong with a username or a password is said while it is typed, by the server's own words.
const say = (input, text) => {
  const hint = document.getElementById(`${input.id}_check`) || input.closest(".field").appendChild(
    Object.assign(document.createElement("p"), { id: `${input.id}_check`, className: "error check" }));
  hint.setAttribute("aria-live", "polite");
  hint.textContent = text;
  for (const error of all(`#${input.id}_error`)) error.remove();  // of what was sent: the field has another value now
  input.closest(".field").classList.toggle("wrong", Boolean(text));
  // Where the focus is, screen readers read a description that changed, all of it, beside the status: so it changes later.
  input.onblur = () => {
    const described = (input.getAttribute("aria-describedby") || "").split(" ").filter((id) => id !== hint.id && document.getElementById(id));
    input.setAttribute("aria-describedby", [...described, ...text ? [hint.id] : []].join(" "));
  };
  if (input !== document.activeElement) input.onblur();
  if (text) input.setAttribute("aria-invalid", "true");
  else input.removeAttribute("aria-invalid");
};
for (const part of all("[data-check]")) {
  const input = part.querySelector("input");
  let waiting;
  const check = async () => {
    renewToken(input.form);
    const fields = new FormData(input.form);
    fields.delete("password");
    try {
      const answer = await fetch(part.dataset.check, { method: "POST", body: fields });
      if (answer.ok && fields.get(input.name) === input.value) say(input, (await answer.json()).errors.join(" "));
    } catch {
      // offline: the form itself will tell
    }
  };
  if (part.dataset.check) onTyped(input, () => {
    clearTimeout(waiting);
    say(input, "");
    if (input.value) waiting = setTimeout(check, 500);
  });
  input.form.addEventListener("submit", () => clearTimeout(waiting));  // signing in changes the form's token
}
for (const part of all("[data-common]")) {
  const input = part.querySelector("input");
  let common;
  input.addEventListener("focus", () => common = common || fetch(part.dataset.common).then(async (list) => new Set((await list.text()).split("\n")), () => new Set()));
  const check = async (ready) => {
    const typed = input.value;
    const wrong = typed && typed.length < part.dataset.least ? ready && part.dataset.short : (await common || new Set()).has(typed.toLowerCase()) && part.dataset.easy;
    if (typed === input.value) say(input, wrong || "");
  };
  input.addEventListener("input", () => check(false));  // too short is no news to a person who is typing
  input.addEventListener("blur", () => input.value && setTimeout(check, 300, true));  // at once, the new line would move the button that is being pressed
}

// Show and hide a password.
for (const button of all("[data-show]")) {
  const input = document.getElementById(button.dataset.show);
  const { label, hide, hideLabel } = button.dataset;
  const texts = { password: [button.textContent, label], text: [hide, hideLabel] };
  const makeRoom = () => { input.style.paddingInlineEnd = `${button.offsetWidth + 8}px`; };  // the word is longer in some languages
  button.hidden = false;
  Object.assign(input, { autocapitalize: "none", autocorrect: false, spellcheck: false });  // a shown password is no text
  makeRoom();
  button.addEventListener("click", () => {
    input.type = input.type === "password" ? "text" : "password";
    button.textContent = texts[input.type][0];
    button.setAttribute("aria-label", texts[input.type][1]);
    makeRoom();
  });
}

// A text is written once: a browser that translates the page has put its own words over it, and would have to do so each time.
const written = new WeakMap();
const write = (node, text) => {
  if (written.get(node) !== text) node.textContent = text;
  written.set(node, text);
};

// Count down to when another mail may be asked for, from the server's figure, by a monotonic clock.
for (const button of all("[data-resend]")) {
  const timer = document.querySelector("[data-wait]"), ready = document.querySelector("[data-ready]");
  const description = document.querySelector("#wait");  // it stands still while the button has the focus: each change is read aloud
  const end = performance.now() + button.dataset.resend * 1000;
  const tick = () => {
    const left = Math.ceil((end - performance.now()) / 1000);
    disabled(button, left > 0);
    write(timer, left > 0 ? timer.dataset.wait.replace("{n}", left) : "");
    if (left <= 0 || button !== document.activeElement) description.textContent = timer.textContent;
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
    write(text, seconds < 60 ? text.dataset.seconds.replace("{n}", seconds) : text.dataset.minutes.replace("{n}", Math.floor(seconds / 60)));
  }
}, 500);

// The state of the mail: ask for it, ever less often, and take the new words from the server, which has them in every language.
if (delivery) {
  // Seconds, the last ones again and again. A mail may bounce minutes after it was sent: so it is every 15 s for ten
  // minutes, which a code is valid for by default. A hidden page asks for nothing.
  const pauses = [1, 1, 1, 2, 2, 3, 5, 5, 10, 10, ...Array(40).fill(15), 60];
  // Not what the server shows again, nor what a password manager fills into a field that nobody sees.
  const isTyping = () => [...all("main input:not([type=hidden])")]
    .some((input) => input.value !== input.defaultValue && !input.closest("details:not([open])"));
  // When the code expires, or a minute of a wait is over: its mail has no news then. Never again once the first is said.
  const endOf = (part) => performance.now() + (part && part.dataset.left * 1000 || Infinity);
  let waiting, end = endOf(delivery);
  // Browsers wait for minutes for an answer that got lost: the next look may do better.
  const ask = (url) => fetch(url, { signal: AbortSignal.timeout && AbortSignal.timeout(20000) });
  const look = async () => {
    clearTimeout(waiting);
    if (document.hidden) return;
    try {
      const { state, reason = "" } = await (await ask(delivery.dataset.status)).json();
      if (state && (state !== delivery.dataset.state || reason !== delivery.dataset.reason || performance.now() > end)) {
        const answer = await ask(delivery.dataset.page);
        if (!answer.ok) throw answer;
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        if (document.querySelector("form[data-sent]")) throw answer;  // what was pressed brings the next page
        const now = page.querySelector("#delivery");  // none in the next step, which a link opened in this browser leads to
        // Another page, unless somebody is typing here.
        if ((!now || now.dataset.stage !== delivery.dataset.stage) && !isTyping()) return location.replace(delivery.dataset.page);
        if (!now) throw answer;  // it has no news for this one: look again, until nobody is typing
        const counts = [state, reason, now.dataset.stage].join() === [delivery.dataset.state, delivery.dataset.reason, delivery.dataset.stage].join();
        for (const old of all("[data-news]", delivery)) {
          if (counts) old.setAttribute("aria-live", "off");  // no screen reader repeats it each minute
          else old.removeAttribute("aria-live");
          old.innerHTML = (now.querySelector(`[data-news=${old.dataset.news}]`) || { innerHTML: "" }).innerHTML;
        }
        Object.assign(delivery.dataset, { state, reason });
        end = endOf(now);
      }
      if (state === "unknown") return;
    } catch {
      // offline, or the site is: the next look may do better
    }
    clearTimeout(waiting);  // of a look that began meanwhile
    waiting = setTimeout(look, (pauses.length > 1 ? pauses.shift() : pauses[0]) * 1000);
  };
  waiting = setTimeout(look, pauses.shift() * 1000);
  // Coming back from the mail app, people see at once how it is.
  document.addEventListener("visibilitychange", look);
}

// The menu of languages closes by Escape, and when something else is pressed or gets the focus.
for (const menu of all(".languages")) {
  const leave = (event) => menu.contains(event.target) || (menu.open = false);
  addEventListener("click", leave);
  addEventListener("focusin", leave);
  addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !menu.open) return;
    menu.open = false;
    menu.firstElementChild.focus();
  });
}
