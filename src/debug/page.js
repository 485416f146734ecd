
'use strict';
(() => {
  const EVERY = 1000; // milliseconds
  const KEPT = 60; // rates, one a look
  const live = document.getElementById('live');
  const rates = new Map();
  let paused = false, lost = false, timer = 0, looks = 0;

  // Draws the rates of every method, with those of this page as the newest.
  function draw(page, remember) {
    for (const spark of page.querySelectorAll('.spark')) {
      const of = spark.dataset.of, kept = rates.get(of) ?? [];
      if (remember && spark.dataset.rate !== undefined) {
        kept.push(Number(spark.dataset.rate));
        if (kept.length > KEPT) kept.shift();
        rates.set(of, kept);
      }
      const most = Math.max(...kept);
      if (kept.length < 2 || most === 0) continue;
      const at = (rate, i) => `${KEPT - kept.length + i},${(15.5 - 12.5 * rate / most).toFixed(2)}`;
      const line = `M${kept.map(at).join('L')}`;
      spark.querySelector('.line').setAttribute('d', line);
      spark.querySelector('.area').setAttribute('d', `${line}V16H${KEPT - kept.length}Z`);
    }
  }

  // Makes an old node like a new one, and leaves alone what is the same: what is selected stays so.
  function become(old, now) {
    if (old.isEqualNode(now)) return;
    if (old.nodeType !== now.nodeType || old.nodeName !== now.nodeName) return old.replaceWith(now);
    if (old.nodeType !== Node.ELEMENT_NODE) return void (old.nodeValue = now.nodeValue);
    for (const { name } of [...old.attributes]) {
      if (!now.hasAttribute(name)) old.removeAttribute(name);
    }
    for (const { name, value } of now.attributes) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    const there = [...old.childNodes], wanted = [...now.childNodes];
    wanted.forEach((child, i) => there[i] ? become(there[i], child) : old.append(child));
    there.slice(wanted.length).forEach((child) => child.remove());
  }

  async function look() {
    clearTimeout(timer);
    const mine = ++looks;
    try {
      const answer = await fetch(location.href, {
        cache: 'no-store', headers: { accept: 'text/html' }, signal: AbortSignal.timeout(5000),
      });
      if (!answer.ok) throw new Error(answer.status);
      const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
      if (mine !== looks) return; // a later look has been begun
      draw(page, true);
      for (const id of ['since', 'summary', 'services']) {
        become(document.getElementById(id), page.getElementById(id));
      }
      lost = false;
    } catch {
      if (mine !== looks) return;
      lost = true;
    }
    show();
    next();
  }

  function next() {
    clearTimeout(timer);
    if (!paused && !document.hidden) timer = setTimeout(look, EVERY);
  }

  function show() {
    live.dataset.state = paused ? 'paused' : lost ? 'lost' : 'live';
    live.textContent = paused ? 'Paused' : lost ? 'No answer' : 'Live';
    live.title = paused ? 'Go on' : 'Pause';
    live.setAttribute('aria-label', `${live.textContent}: ${live.title.toLowerCase()}`);
  }

  live.hidden = false;
  live.addEventListener('click', () => { paused = !paused; show(); next(); });
  document.addEventListener('visibilitychange', next);
  document.addEventListener('click', (click) => {
    const sort = click.target.closest('thead a');
    const special = click.button || click.ctrlKey || click.metaKey || click.shiftKey || click.altKey;
    if (!sort || special) return;
    click.preventDefault();
    history.replaceState(null, '', sort.href);
    look();
  });
  draw(document, true);
  show();
  next();
})();
