// What the buttons do. Each act is told from top to bottom: what goes out, what is waited for, what is said of it.

import * as guide from './guide.js';
import { newOrder, send, shop, PRICE, OTHER_PRICE } from './orders.js';
import * as server from './server.js';
import { Card, element } from './timeline.js';
import * as words from './words.js';

const by = id => document.getElementById(id);
const buttons = ['pay', 'double', 'fifty', 'hangup', 'crash', 'retry', 'change'];
// The one place that has it is the handler's attribute.
const lease = Number(/lease = "(\d+)s"/.exec(document.querySelector('code[data-handler=reservation]').textContent)[1]);

let handler = 'bare';
/** The order that a retry is for, and its card. */
let order = null;
let card = null;
let pressed = null;
let charges = [];

const sleep = ms => new Promise(resolve => setTimeout(resolve, ms));

/** How often an order is in the ledger, and how often it was shipped. */
function countOf({ number }) {
  const rows = charges.filter(charge => charge.number === number);
  return { charges: rows.length, shipments: rows[0]?.shipments ?? 0 };
}

/** All that the order is to come to has happened. */
function isDone(order) {
  const { charges, shipments } = countOf(order);
  return charges > 0 && (shipments > 0 || order.handler !== 'steps');
}

function isOnce(order) {
  const { charges, shipments } = countOf(order);
  return charges === 1 && shipments === (order.handler === 'steps' ? 1 : 0);
}

// ---- acts ----

function begin() {
  order = newOrder(handler);
  card = new Card(order);
  return [order, card];
}

const acts = {
  async pay() {
    const [order, card] = begin();
    const request = send(order, 'Pay');
    card.follow([request]);
    const answer = await request.answered;
    await refresh();
    tell(order, card, ...(answer === 'new'
      ? [isOnce(order) ? 'good' : 'bad', `${words.times(order, countOf(order))}.`]
      : ['wait', `No payment: ${words.answers[answer] ?? answer}.`]));
  },

  async double() {
    await several(['Click', 'Click'], {});
  },

  async fifty() {
    await several(Array(50).fill(''), { pace: 100 });
  },

  async hangup() {
    const [order, card] = begin();
    const request = send(order, 'Pay');
    card.follow([request]);
    const charged = await Promise.race([request.reached.charged.then(() => true), request.answered.then(() => false)]);
    if (!charged) return tell(order, card, 'wait', `No payment: ${words.answers[request.answer] ?? request.answer}.`);
    await sleep(150);
    request.hangUp();
    if (await request.answered !== 'gone') return tell(order, card, 'wait', 'The answer was faster than the hang-up.');
    await Promise.race([request.reached.finished, request.reached.dropped, sleep(5000)]);
    // The run has finished; its commit may be on its way.
    for (let look = 0; look < 20; look += 1) {
      await refresh();
      if (isDone(order)) break;
      await sleep(100);
    }
    tell(order, card, order.handler === 'bare' ? 'wait' : 'good', words.hungUp(order, countOf(order)));
  },

  async crash() {
    const [order, card] = begin();
    const died = server.process;
    const request = send(order, 'Pay, crash', { crash: true });
    card.follow([request]);
    const answer = await request.answered;
    if (answer !== 'lost') return tell(order, card, 'wait', `No crash: ${words.answers[answer] ?? answer}.`);
    order.crashedAt = performance.now();
    const successor = await server.successor(died);
    await refresh();
    card.tell('aside', `Process ${died} died; process ${successor} was started.`);
    const said = tell(order, card, 'wait', words.crashed(order, countOf(order), lease));
    if (['reservation', 'steps'].includes(order.handler)) showLease(order, card, said);
  },

  async retry() {
    const [of, its] = [order, card];
    const request = send(of, 'Retry');
    its.follow([request]);
    const answer = await request.answered;
    await refresh();
    tell(of, its, ...words.retried(of, answer, countOf(of), lease));
  },

  async change() {
    const [of, its] = [order, card];
    const request = send(of, words.euros(OTHER_PRICE), { amount: OTHER_PRICE });
    its.follow([request]);
    const answer = await request.answered;
    await refresh();
    tell(of, its, ...words.changed(of, answer, countOf(of)));
  },
};

async function several(labels, how) {
  const [order, card] = begin();
  const requests = labels.map(label => send(order, label, how));
  card.follow(requests);
  await Promise.all(requests.map(request => request.answered));
  await refresh();
  tell(order, card, isOnce(order) ? 'good' : 'bad', words.severalAtOnce(order, countOf(order)));
}

function tell(of, its, tone, text) {
  // An order that was left, for another one or another handler, leads nowhere.
  if (of === order) guide.ended(handler, tone, text, by(pressed));
  return its.tell(tone, text);
}

/** The lease of a dead holder, running out. */
function showLease(of, its, said) {
  const rest = element('span', 'lease');
  rest.setAttribute('aria-hidden', 'true');
  rest.style.setProperty('--lease', `${lease}s`);
  said.append(rest);
  const left = () => lease * 1000 - (performance.now() - of.crashedAt);
  setTimeout(() => {
    rest.classList.add('over');
    its.tell('aside', 'The lease has ended.');
  }, left());
}

// ---- what is shown beside the timeline ----

async function refresh() {
  charges = (await server.charges(shop)) ?? charges;
  const counts = new Map();
  charges.forEach(({ number }) => counts.set(number, (counts.get(number) ?? 0) + 1));
  by('charges').replaceChildren(...charges.toReversed().map(charge => {
    const twice = counts.get(charge.number) > 1;
    const row = element('tr', twice ? 'again' : '');
    row.dataset.order = charge.number;
    row.append(
      element('td', '', String(charge.number)),
      element('td', '', words.amount(charge.amount)),
      element('td', 'times', words.often(counts.get(charge.number))),
      element('td', '', words.often(charge.shipments) || '–'),
      element('td', '', String(charge.process)),
    );
    return row;
  }));
  by('no-charges').hidden = charges.length > 0;
  const surplus = charges.length - counts.size;
  const sum = by('sum');
  sum.textContent = words.sum(counts.size, charges);
  sum.dataset.tone = surplus > 0 ? 'bad' : 'good';
  by('total').hidden = charges.length === 0;
  by('total').textContent = sum.textContent;
  by('total').dataset.tone = sum.dataset.tone;
}

function choose(next) {
  handler = next;
  order = null;
  card = null;
  document.querySelectorAll('code[data-handler]').forEach(code => { code.hidden = code.dataset.handler !== handler; });
  guide.chosen(handler);
  ready();
}

/** A button that can do nothing yet stays in reach of the keyboard, and says why. */
function ready() {
  const away = server.process === null;
  by('next').setAttribute('aria-disabled', String(away));
  buttons.forEach(button => {
    const needsOrder = button === 'retry' || button === 'change';
    by(button).setAttribute('aria-disabled', String(away || (needsOrder && order === null)));
    const note = needsOrder && order === null ? 'Place an order first.' : words.notes[handler][button];
    by(`${button}-note`).textContent = note;
  });
}

/** What it means where keys do not lie beside the ledger. */
function showKeys() {
  const promises = server.keys ? words.promisesBeside(server.keys, server.database) : {};
  document.querySelectorAll('input[name=handler]').forEach(({ id }) => {
    by(`${id}-beside`).hidden = !server.keys;
    by(`${id}-beside`).textContent = promises[id] ?? '';
  });
}

// ---- wiring ----

for (const button of buttons) {
  by(button).addEventListener('click', ({ detail }) => {
    // What a shop's page sends for the second click of a double-click is the same order again.
    const act = detail < 2 ? button : { pay: 'retry' }[button];
    if (act === undefined || by(button).getAttribute('aria-disabled') === 'true') return;
    pressed = button;
    guide.begun(handler, act);
    acts[act]();
    ready();
  });
}
document.querySelectorAll('input[name=handler]').forEach(input => {
  input.addEventListener('change', () => choose(input.value));
  by(`${input.id}-promise`).textContent = words.promises(lease)[input.id];
});
document.querySelectorAll('code[data-handler]').forEach(code => {
  const attribute = code.textContent.split('\n').find(line => line.startsWith('#['));
  by(code.dataset.handler).parentElement.querySelector('code').textContent = attribute ?? 'without #[idempotent]';
  code.replaceChildren(...code.textContent.split('\n').map(text => {
    const line = element(text.startsWith('#[') ? 'mark' : 'span', 'line');
    // A chain that is too long breaks between its calls.
    text.split(/(?<=\))(?=\.)/).forEach((call, nth) => line.append(...(nth ? [element('wbr')] : []), call));
    return line;
  }));
});

server.onProcess((next, last) => {
  by('process').dataset.state = next === null ? 'away' : 'up';
  const keys = server.keys ? `, keys in ${server.keys}` : '';
  by('process-text').textContent = next !== null ? `Served by process ${next}, on ${server.database}${keys}`
    : `Process ${last} is gone, waiting for the next`;
  showKeys();
  ready();
});
server.onStep((_, step) => {
  if (step === 'charged' || step === 'shipped') refresh();
});

// On a phone there is no room for it.
const wide = matchMedia('(min-width: 700px)');
wide.addEventListener('change', () => { by('code').open = wide.matches; });
by('code').open = wide.matches;
by('price').textContent = words.euros(PRICE);
choose(document.querySelector('input[name=handler]:checked').value);
server.listen();
