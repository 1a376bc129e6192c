// The strip that says what to press next and, on a phone, where the story is out of sight, what came of the last press.

import { advice } from './words.js';

const by = id => document.getElementById(id);
const strip = by('guide');
const safer = { bare: 'reservation', reservation: 'transaction', transaction: 'steps' };
const tried = { bare: new Set(), reservation: new Set(), transaction: new Set(), steps: new Set() };
let target = null;

by('next').addEventListener('click', () => {
  target.focus();
  target.click();
});

function point(id) {
  target?.closest('label, button, a').classList.remove('next');
  target = by(id);
  target?.closest('label, button, a').classList.add('next');
  const started = Object.values(tried).some(acts => acts.size > 0);
  by('when').textContent = target === null ? 'Under way' : started ? 'Next:' : 'Start here:';
  by('next').hidden = target === null;
  [by('next').textContent, by('why').textContent] = advice[id] ?? ['', ''];
}

/** What is worth pressing after an act that ended well (good), badly (bad) or not yet (wait). */
function after(handler, tone) {
  if (tone === 'wait') return 'retry';
  const untried = ['double', 'crash'].find(act => !tried[handler].has(act));
  return (tone === 'good' && untried) || (safer[handler] ?? 'guarantees');
}

export function chosen(handler) {
  by('said').hidden = true;
  point(after(handler, 'good'));
}

export function begun(handler, act) {
  by('said').hidden = true;
  tried[handler].add(act);
  point(null);
}

/** Says what came of pressing a button, and does not hide the button behind it. */
export function ended(handler, tone, text, pressed) {
  by('said').hidden = false;
  by('said').dataset.tone = tone;
  by('said').textContent = text;
  point(after(handler, tone));
  const { top, bottom } = pressed.getBoundingClientRect();
  const covered = bottom + 8 - strip.getBoundingClientRect().top;
  if (getComputedStyle(strip).position === 'sticky' && top < innerHeight && covered > 0) scrollBy(0, covered);
}
