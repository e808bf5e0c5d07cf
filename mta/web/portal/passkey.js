// The one script of the pages: it lets the browser use or make a passkey. Everything else works without it.
"use strict";
(() => {
  const box = document.getElementById("passkeys");
  if (!box || !window.PublicKeyCredential) return;
  const octets = text => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), c => c.charCodeAt(0));
  const text = data => btoa(String.fromCharCode(...new Uint8Array(data))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const post = async (path, body) => {
    const answer = await fetch(box.dataset.place + path, { method: "POST", body, headers: { "Content-Type": "application/json" } });
    if (!answer.ok) throw new Error(String(answer.status));
    return answer.json();
  };
  const known = list => (list || []).map(one => ({ ...one, id: octets(one.id) }));
  const written = made => {
    const response = { clientDataJSON: text(made.response.clientDataJSON) };
    for (const name of ["attestationObject", "authenticatorData", "signature", "userHandle"])
      if (made.response[name]) response[name] = text(made.response[name]);
    return JSON.stringify({ id: made.id, rawId: text(made.rawId), type: made.type, response, clientExtensionResults: {} });
  };
  const use = async () => {
    const options = await post("/passkey/options");
    const publicKey = { ...options, challenge: octets(options.challenge), allowCredentials: known(options.allowCredentials) };
    return post("/passkey", written(await navigator.credentials.get({ publicKey })));
  };
  const make = async () => {
    const options = await post("/passkey/new/options");
    const publicKey = {
      ...options, challenge: octets(options.challenge), user: { ...options.user, id: octets(options.user.id) },
      excludeCredentials: known(options.excludeCredentials),
    };
    return post("/passkey/new", written(await navigator.credentials.create({ publicKey })));
  };
  const wire = (id, work) => {
    const button = document.getElementById(id);
    if (!button) return;
    button.addEventListener("click", async () => {
      const wrong = document.getElementById("passkey-wrong");
      wrong.hidden = true;
      try {
        location.assign((await work()).go);
      } catch {
        wrong.hidden = false;
      }
    });
  };
  wire("passkey-use", use);
  wire("passkey-make", make);
  box.hidden = false;
})();
