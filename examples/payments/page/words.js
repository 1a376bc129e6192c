// Every sentence of the page that depends on what is chosen or on what happened.

/** What each button leads to, under each handler. */
export const notes = {
  bare: {
    pay: 'One request: one charge.',
    double: 'A double-click: two requests, one key, two charges.',
    fifty: 'Fifty requests, one key, fifty charges.',
    hangup: 'The client leaves early. Its retry is charged again.',
    crash: 'The process dies. A retry is charged again.',
    retry: 'The same request again: it runs again.',
    change: 'The same key, 15.00 EUR: charged as well.',
  },
  reservation: {
    pay: 'One request: one charge, and its answer is recorded.',
    double: 'A double-click. One runs, the other gets 409 (in use).',
    fifty: 'One runs. The others get 409 (in use), or its answer.',
    hangup: 'The client leaves early. A retry gets the answer.',
    crash: 'It dies after the charge and before the record.',
    retry: 'Gets the recorded answer; after a crash, runs again.',
    change: 'The same key, 15.00 EUR: refused with 422.',
  },
  transaction: {
    pay: 'One request: charge and record are one commit.',
    double: 'A double-click. One runs, the other gets 409 (in use).',
    fifty: 'One runs. The others get 409 (in use), or its answer.',
    hangup: 'The client leaves early. A retry gets the answer.',
    crash: 'It dies before the commit. Nothing is charged.',
    retry: 'Gets the recorded answer; after a crash, runs once.',
    change: 'The same key, 15.00 EUR: 422, where there is a record.',
  },
};

/** What the guide says of what to press next, and why. */
export const steps = {
  double: ['Send twice', 'in step 2, as a double-click does'],
  crash: ['Crash the process', 'in step 2, the hardest case'],
  retry: ['Retry', 'in step 2, as clients do until they know'],
  reservation: ['Choose reservation', 'in step 1, and do the same'],
  transaction: ['Choose transaction', 'in step 1, and do the same'],
  guarantees: ['Read the guarantees', 'what is promised, and what is not'],
};

export const promises = lease => ({
  bare: 'No protection. Every request runs the handler. Whoever asks twice is charged twice.',
  reservation: 'Reserves the Idempotency-Key, runs, records the answer for retries. After a crash in between, the key '
    + `stays reserved for one lease: ${lease} s without a sign of life.`,
  transaction: 'The charge and the recorded answer are one commit in the database: both are made, or neither.',
});

export const answers = {
  new: '201 paid',
  replay: '201 replay',
  409: '409 in use',
  422: '422 refused',
  503: '503 try later',
  lost: 'no answer',
  gone: 'hung up',
};

export const euros = cents => `${(cents / 100).toFixed(2)} EUR`;

export const often = n => ['', 'once', 'twice'][n] ?? `${n} times`;
export const times = n => (n === 0 ? 'Not charged' : `Charged ${often(n)}`);

/** An order that was charged too often stays so, whatever its later requests get. */
const once = charges => (charges < 2 ? 'good' : 'bad');

/** The heading of the ledger. */
export function sum(orders, charges) {
  if (charges.length === 0) return 'No charges yet';
  const surplus = charges.length - orders;
  const total = euros(charges.reduce((cents, { amount }) => cents + amount, 0));
  const counted = `${many(orders, 'order', 'orders')}, ${many(charges.length, 'charge', 'charges')}`;
  return surplus > 0 ? `${counted}: ${surplus} too many` : `${counted}, ${total}`;
}

const many = (n, one, more) => `${n} ${n === 1 ? one : more}`;

/** What came of several requests under one key. */
export function severalAtOnce(order, charges) {
  const count = answer => order.requests.filter(request => request.answer === answer).length;
  if (order.handler === 'bare') {
    return `${times(charges)}. Each request ran the handler.`;
  }
  const told = [];
  if (count('409')) told.push(`${many(count('409'), 'was', 'were')} told 409, as the first still ran`);
  if (count('replay')) told.push(`${many(count('replay'), 'got', 'got')} the recorded answer`);
  return `${times(charges)}. ${sentence(`one request ran${told.length ? `; ${told.join('; ')}` : ''}`)}`;
}

const sentence = text => `${text[0].toUpperCase()}${text.slice(1)}.`;

const UNHEARD = 'Without an answer the client cannot know whether it has paid, and asks again: pressing Retry does '
  + 'that.';

export function hungUp(order, charges) {
  return order.handler === 'bare'
    ? `${times(charges)}, and the run ended with its client, who hung up. ${UNHEARD}`
    : `${times(charges)}. The client hung up before the answer, the run went on without it, and its answer is `
      + 'recorded. A retry gets it.';
}

export function crashed(order, charges, lease) {
  return {
    bare: `${times(charges)}: the process died after the charge, and nobody remembers the request. ${UNHEARD}`,
    reservation: `${times(charges)}: the process died after the effect and before the record. That is the window of a `
      + `reservation, the time between the charge and its record. The key stays reserved until its lease of ${lease} s `
      + `has ended. ${UNHEARD}`,
    transaction: `${times(charges)}: the process died after the effect and before the commit, so the charge was `
      + `undone, and the key is free. ${UNHEARD}`,
  }[order.handler];
}

/** What a retry got, and whether that is well (good), still open (wait) or not (bad). */
export function retried(order, answer, charges, lease) {
  const said = times(charges);
  if (answer === 'replay') {
    return [once(charges), `${said}. The retry got the recorded answer, byte for byte, and nothing ran.`];
  }
  if (answer === '409' && order.crashedAt !== null) {
    return ['wait', '409, in use: nobody here can know that the process with the key is dead, until its lease of '
      + `${lease} s ends without a sign of life. Retry after that.`];
  }
  if (answer === '409') {
    return ['wait', '409: the first request still runs. Retry in a moment.'];
  }
  if (answer === '422') {
    return ['wait', '422: the key belongs to another request.'];
  }
  if (answer !== 'new') {
    return ['wait', `No new outcome: ${answers[answer] ?? answer}.`];
  }
  if (charges < 2) {
    return ['good', order.handler === 'transaction' && order.crashedAt !== null
      ? `${said}. The crash left neither charge nor record, so the retry ran and made both.`
      : `${said}. Nothing had been charged before, so the retry ran.`];
  }
  if (order.handler === 'reservation' && order.crashedAt !== null) {
    return ['bad', `${said}. This is the window of a reservation: the process died after the effect and before the `
      + 'record. The lease ended, nothing told of the first charge, and the retry ran again. A transaction has no '
      + 'window.'];
  }
  return ['bad', `${said}. Nothing ties the retry to the first request, so the handler ran again.`];
}

export function changed(order, answer, charges) {
  // The refusal answers another request: the order's own may still have no outcome that a retry would get.
  const settled = order.requests.some(request => ['new', 'replay', 'gone'].includes(request.answer));
  const refused = 'Refused with 422: the key belongs to a request with another amount. Nothing ran. '
    + times(charges);
  switch (answer) {
    case '422': return settled ? [once(charges), `${refused}.`]
      : ['wait', `${refused} so far, and the first request has no answer: pressing Retry is what its client does.`];
    case '409': return ['wait', '409: the first request still runs.'];
    case 'new': return charges < 2
      ? ['good', `${times(charges)}: the key was free, so this counts as its first request.`]
      : ['bad', `${times(charges)}: two amounts for one order, and nothing noticed.`];
    default: return ['wait', `No new outcome: ${answers[answer] ?? answer}.`];
  }
}
