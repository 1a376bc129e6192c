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
  steps: {
    pay: 'One request: a charge, then a shipment.',
    double: 'A double-click. One runs, the other gets 409 (in use).',
    fifty: 'One runs. The others get 409 (in use), or its answer.',
    hangup: 'The client leaves early. A retry gets the answer.',
    crash: 'It dies between the charge and the shipment.',
    retry: 'Gets the recorded answer; after a crash, goes on.',
    change: 'The same key, 15.00 EUR: refused with 422.',
  },
};

/** What the guide says of what to press next, and why. */
export const advice = {
  double: ['Send twice', 'in part 2, as a double-click does'],
  crash: ['Crash the process', 'in part 2, the hardest case'],
  retry: ['Retry', 'in part 2, as clients do until they know'],
  reservation: ['Choose reservation', 'in part 1, and do the same'],
  transaction: ['Choose transaction', 'in part 1, and do the same'],
  steps: ['Choose steps', 'in part 1, where the charge is a call of somebody else'],
  guarantees: ['Read the guarantees', 'what is promised, and what is not'],
};

export const promises = lease => ({
  bare: 'No protection. Every request runs the handler. Whoever asks twice is charged twice.',
  reservation: 'Reserves the Idempotency-Key, runs, records the answer for retries. After a crash in between, the key '
    + `stays reserved for one lease: ${lease} s without a sign of life.`,
  transaction: 'The charge and the recorded answer are one commit in the database: both are made, or neither.',
  steps: 'The charge is a call of a payment provider, which no transaction undoes. Each step is recorded once it is '
    + 'done, and a retry after a crash skips it.',
});

/** What each handler promises where keys lie in Redis and the ledger in a database, and what a lost Redis means. */
export const promisesBeside = (keys, database) => ({
  bare: `It keeps no key, so ${keys} changes nothing.`,
  reservation: `The key lies in ${keys}, the charge in ${database}. If ${keys} is lost, or a failover loses its last `
    + 'writes, the key is forgotten, and a retry is charged again.',
  transaction: `Key and record stay in ${database}, in the commit of the charge. A lost ${bare(keys)} changes nothing.`,
  steps: `The record of each step lies in ${keys}. If that is lost, a retry makes each step again: the provider, who `
    + 'is shown the same key, charges once all the same, and the cup is shipped twice.',
});

const bare = keys => keys.replace(/^an? /, '');

export const answers = {
  new: '201 paid',
  replay: '201 replay',
  409: '409 in use',
  422: '422 refused',
  503: '503 try later',
  lost: 'no answer',
  gone: 'hung up',
};

export const amount = cents => (cents / 100).toFixed(2);
export const euros = cents => `${amount(cents)} EUR`;

export const often = n => ['', 'once', 'twice'][n] ?? `${n} times`;

/** What an order has come to: its charges, and where it has steps its shipments. */
export function times({ handler }, { charges, shipments }) {
  const charged = charges === 0 ? 'Not charged' : `Charged ${often(charges)}`;
  if (handler !== 'steps') return charged;
  return `${charged}, ${shipments === 0 ? 'not shipped' : `shipped ${often(shipments)}`}`;
}

/** An order that was charged too often stays so, whatever its later requests get. */
const once = ({ charges, shipments }) => (Math.max(charges, shipments) < 2 ? 'good' : 'bad');

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
export function severalAtOnce(order, counted) {
  const count = answer => order.requests.filter(request => request.answer === answer).length;
  if (order.handler === 'bare') {
    return `${times(order, counted)}. Each request ran the handler.`;
  }
  const told = [];
  if (count('409')) told.push(`${many(count('409'), 'was', 'were')} told 409, as the first still ran`);
  if (count('replay')) told.push(`${many(count('replay'), 'got', 'got')} the recorded answer`);
  return `${times(order, counted)}. ${sentence(`one request ran${told.length ? `; ${told.join('; ')}` : ''}`)}`;
}

const sentence = text => `${text[0].toUpperCase()}${text.slice(1)}.`;

const UNHEARD = 'Without an answer the client cannot know whether it has paid, and asks again: pressing Retry does '
  + 'that.';

export function hungUp(order, counted) {
  return order.handler === 'bare'
    ? `${times(order, counted)}, and the run ended with its client, who hung up. ${UNHEARD}`
    : `${times(order, counted)}. The client hung up before the answer, the run went on without it, and its answer is `
      + 'recorded. A retry gets it.';
}

export function crashed(order, counted, lease) {
  const said = times(order, counted);
  return {
    bare: `${said}: the process died after the charge, and nobody remembers the request. ${UNHEARD}`,
    reservation: `${said}: the process died after the effect and before the record. That is the window of a `
      + `reservation, the time between the charge and its record. The key stays reserved until its lease of ${lease} s `
      + `has ended. ${UNHEARD}`,
    transaction: `${said}: the process died after the effect and before the commit, so the charge was `
      + `undone, and the key is free. ${UNHEARD}`,
    steps: `${said}: the process died between the two. That the charge is made is recorded with the key, which stays `
      + `reserved until its lease of ${lease} s has ended. ${UNHEARD}`,
  }[order.handler];
}

/** What a retry got, and whether that is well (good), still open (wait) or not (bad). */
export function retried(order, answer, counted, lease) {
  const said = times(order, counted);
  if (answer === 'replay') {
    return [once(counted), `${said}. The retry got the recorded answer, byte for byte, and nothing ran.`];
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
  if (once(counted) === 'good' && order.handler === 'steps' && order.crashedAt !== null) {
    return ['good', `${said}. ${skipped(order.requests.at(-1).at)}`];
  }
  if (once(counted) === 'good') {
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

/** Which steps a retry found recorded, and which it did. */
function skipped(at) {
  const among = steps => Object.keys(steps).filter(step => steps[step] !== undefined).join(' and the ');
  const found = among({ charge: at['charge-skipped'], shipment: at['shipment-skipped'] });
  const done = among({ charge: at.charged, shipment: at.shipped });
  return [found && `The retry skipped the ${found}, which was recorded.`, done && `It made the ${done}.`]
    .filter(Boolean).join(' ');
}

export function changed(order, answer, counted) {
  // The refusal answers another request: the order's own may still have no outcome that a retry would get.
  const settled = order.requests.some(request => ['new', 'replay', 'gone'].includes(request.answer));
  const refused = 'Refused with 422: the key belongs to a request with another amount. Nothing ran. '
    + times(order, counted);
  switch (answer) {
    case '422': return settled ? [once(counted), `${refused}.`]
      : ['wait', `${refused} so far, and the first request has no answer: pressing Retry is what its client does.`];
    case '409': return ['wait', '409: the first request still runs.'];
    case 'new': return once(counted) === 'good'
      ? ['good', `${times(order, counted)}: the key was free, so this counts as its first request.`]
      : ['bad', `${times(order, counted)}: two amounts for one order, and nothing noticed.`];
    default: return ['wait', `No new outcome: ${answers[answer] ?? answer}.`];
  }
}
