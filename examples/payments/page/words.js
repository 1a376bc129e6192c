// Every sentence of the page that depends on what is chosen or on what happened.

/** What each button leads to, under each handler. */
export const notes = {
  bare: {
    pay: 'One request, one charge.',
    double: 'Two requests under one key: both run, two charges.',
    fifty: 'Fifty requests under one key: fifty charges.',
    hangup: 'The run goes with its connection, after the charge. A retry charges again.',
    crash: 'The process dies after the charge. A retry charges again.',
    retry: 'The same request again: the handler runs again.',
    change: 'The same key, 15.00 EUR: charged as well.',
  },
  reservation: {
    pay: 'One request, one charge, and its answer is recorded.',
    double: 'One runs, the other is told 409. One charge.',
    fifty: 'One runs; the others get 409, or its answer. One charge.',
    hangup: 'The run goes on without its client. A retry gets its answer.',
    crash: 'The process dies after the charge and before the record: the window.',
    retry: 'Recorded: the same answer. Running: 409. After a crash: 409, then a second charge.',
    change: 'The same key, 15.00 EUR: refused with 422, after a crash too.',
  },
  transaction: {
    pay: 'One request, one charge; charge and record are one commit.',
    double: 'One runs, the other is told 409. One charge.',
    fifty: 'One runs; the others get 409, or its answer. One charge.',
    hangup: 'The run goes on without its client. A retry gets its answer.',
    crash: 'The process dies before the commit. Nothing is charged, and a retry runs.',
    retry: 'Recorded: the same answer. After a crash: it runs, and is the only charge.',
    change: 'The same key, 15.00 EUR: 422. After a crash the key is free, and it runs.',
  },
};

export const promise = lease => ({
  bare: 'Nothing ties a retry to its first request. Whoever asks twice is charged twice.',
  reservation: `The key is reserved before the handler runs, and the answer is recorded after it. A reservation outlives a `
    + `crash for its lease, here ${lease} s so that one can watch it end.`,
  transaction: 'The charge and the recorded answer are one commit: both are made, or neither.',
});

export const answers = {
  new: '201 paid',
  replay: '201 replay',
  409: '409 in use',
  422: '422 other request',
  503: '503 try later',
  lost: 'no answer',
  gone: 'hung up',
};

export const euros = cents => `${(cents / 100).toFixed(2)} EUR`;

export function times(n) {
  return ['Not charged', 'Charged once', 'Charged twice'][n] ?? `Charged ${n} times`;
}

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

export function hungUp(order, charges) {
  return order.handler === 'bare'
    ? `${times(charges)}, and the client cannot know it: it hung up before the answer, and the run was dropped with its `
      + 'connection. A client that does not know retries.'
    : `${times(charges)}. The client hung up before the answer, the run went on without it, and its answer is recorded. `
      + 'A retry gets it.';
}

export function crashed(order, charges, lease) {
  return {
    bare: `${times(charges)}, and no answer: the process died after the charge, and nobody remembers the request. A client `
      + 'that does not know retries.',
    reservation: `${times(charges)}, and no answer: the process died after the effect and before the record. The key stays `
      + `reserved until its lease of ${lease} s ends.`,
    transaction: `${times(charges)}: the process died after the effect and before the commit, and the charge was undone with `
      + 'it. The key is free at once.',
  }[order.handler];
}

/** What a retry got, and whether that is well (good), still open (wait) or not (bad). */
export function retried(order, answer, charges, lease) {
  const said = times(charges);
  if (answer === 'replay') {
    return ['good', `${said}. The retry got the recorded answer, byte for byte, and nothing ran.`];
  }
  if (answer === '409' && order.crashedAt !== null) {
    return ['wait', `409: the process that held the key is gone, and its lease of ${lease} s has not ended. Retry after that.`];
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
    return ['bad', `${said}. This is the window of a reservation: the process died after the effect and before the record. `
      + 'The lease ended, nothing told of the first charge, and the retry ran again. A transaction has no such window.'];
  }
  return ['bad', `${said}. Nothing ties the retry to the first request, so the handler ran again.`];
}

export function changed(answer, charges) {
  switch (answer) {
    case '422': return ['good', `Refused with 422: the key belongs to a request with another amount. Nothing ran. ${times(charges)}.`];
    case '409': return ['wait', '409: the first request still runs.'];
    case 'new': return charges < 2
      ? ['good', `${times(charges)}: the key was free, so this counts as its first request.`]
      : ['bad', `${times(charges)}: two amounts for one order, and nothing noticed.`];
    default: return ['wait', `No new outcome: ${answers[answer] ?? answer}.`];
  }
}
