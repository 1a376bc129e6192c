// Orders and their requests, as the client knows them.

import { onStep } from './server.js';

/** Of this visit: the ledger shows no other's orders. */
export const shop = crypto.getRandomValues(new Uint32Array(1))[0];
export const PRICE = 1200;
export const OTHER_PRICE = 1500;

const requests = new Map();
let orders = 0;

export function newOrder(handler) {
  orders += 1;
  const key = `${shop.toString(16)}-${orders}`;
  return { number: orders, handler, key, requests: [], crashedAt: null };
}

/**
 * Sends a request for the order. What becomes of it is in the object that this returns at once; its `answered` resolves
 * when the client knows all that it ever will.
 */
export function send(order, label, { amount = PRICE, pace = null, crash = false } = {}) {
  const request = {
    id: `${shop}.${order.number}.${order.requests.length + 1}`,
    label,
    sent: performance.now(),
    at: {}, // runs, charged, charge-skipped, shipped, shipment-skipped, finished or dropped → when
    answer: null, // new, replay, 409, 422, lost, gone (the client hung up), or another status
    ended: null,
    changed: () => {},
  };
  const hangUp = new AbortController();
  request.hangUp = () => hangUp.abort();
  request.reached = {};
  const reach = {};
  for (const step of ['charged', 'finished', 'dropped']) {
    request.reached[step] = new Promise(resolve => { reach[step] = resolve; });
  }
  request.step = step => {
    request.at[step] = performance.now();
    reach[step]?.();
    request.changed();
  };
  requests.set(request.id, request);
  order.requests.push(request);

  const headers = {
    'Content-Type': 'application/json',
    'Idempotency-Key': `"${order.key}"`,
    'Shop-Request': request.id,
  };
  if (pace !== null) headers['Shop-Pace'] = String(pace);
  if (crash) headers['Shop-Crash'] = '1';
  const body = JSON.stringify({ shop, number: order.number, amount });
  request.answered = fetch(`/shop/${order.handler}`, { method: 'POST', headers, body, signal: hangUp.signal })
    .then(
      answer => {
        const replayed = answer.headers.get('Idempotency-Replayed') === 'true';
        request.answer = answer.status === 201 ? (replayed ? 'replay' : 'new') : String(answer.status);
      },
      () => { request.answer = hangUp.signal.aborted ? 'gone' : 'lost'; },
    )
    .then(() => {
      request.ended = performance.now();
      request.changed();
      return request.answer;
    });
  return request;
}

/** Whether the handler is at work on it, as far as one can see from outside. */
export function runs(request) {
  const { runs, finished, dropped } = request.at;
  return runs !== undefined && finished === undefined && dropped === undefined && request.answer !== 'lost';
}

onStep((id, step) => requests.get(id)?.step(step));
