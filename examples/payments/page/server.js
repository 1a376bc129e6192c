// What the service tells: which process answers, how far each request got, what the ledger has.

const listeners = { step: [], process: [] };

/** The process that answers; null while there is none. */
export let process = null;
export let database = null;
/** What has the keys of handlers without a transaction, where that is not the database. */
export let keys = null;

export const onStep = listener => listeners.step.push(listener);
export const onProcess = listener => listeners.process.push(listener);

export function listen() {
  const events = new EventSource('/shop/events');
  events.addEventListener('hello', event => {
    const hello = JSON.parse(event.data);
    database = hello.database;
    keys = hello.keys;
    enter(hello.process);
  });
  events.addEventListener('step', event => {
    const { request, step } = JSON.parse(event.data);
    listeners.step.forEach(listener => listener(request, step));
  });
  events.addEventListener('error', () => {
    enter(null);
    // A browser that has given up does not try again by itself.
    if (events.readyState === EventSource.CLOSED) {
      setTimeout(listen, 500);
    }
  });
}

function enter(next) {
  if (next !== process) {
    const last = process;
    process = next;
    listeners.process.forEach(listener => listener(next, last));
  }
}

/** Resolves when a process other than this one answers. */
export function successor(of) {
  return new Promise(resolve => {
    const look = next => {
      if (next !== null && next !== of) {
        listeners.process.splice(listeners.process.indexOf(look), 1);
        resolve(next);
      }
    };
    listeners.process.push(look);
    look(process);
  });
}

/** The charges of this visit; null while the service is away. */
export async function charges(shop) {
  try {
    const answer = await fetch(`/shop/ledger?shop=${shop}`, { priority: 'high' });
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}
