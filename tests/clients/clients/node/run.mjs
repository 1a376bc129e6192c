// Sends one payment with one client, and prints what its caller got.
//
// run.mjs CLIENT MODE TARGET KEY PAYMENT TIMEOUT
//
// MODE is `bare` (no retries asked for), `plain` (retries switched on, and nothing else said) or `safe` (as
// docs/clients.md has it). TARGET is a URL, or for Stripe's SDK a service. TIMEOUT is in seconds.

import axios from 'axios';
import axiosRetry from 'axios-retry';
import got from 'got';
import Stripe from 'stripe';

const headers = key => ({ 'Idempotency-Key': `"${key}"`, 'Content-Type': 'application/json' });

const asItComes = {
  fetch: {
    async bare(url, key, payment, timeout) {
      const signal = AbortSignal.timeout(timeout);
      const response = await fetch(url, { method: 'POST', headers: headers(key), body: payment, signal });
      return { status: response.status, body: await response.text() };
    },
  },
  axios: {
    bare: (url, key, payment, timeout) => axios.post(url, payment, { headers: headers(key), timeout }),
    plain(url, key, payment, timeout) {
      const http = axios.create();
      axiosRetry(http);
      return http.post(url, payment, { headers: headers(key), timeout });
    },
  },
  got: {
    bare: (url, key, payment, timeout) =>
      got.post(url, { body: payment, headers: headers(key), timeout: { request: timeout } }),
  },
  stripe: {
    // Retries are on in Stripe's SDK, and it makes a key itself.
    bare(api, key, payment, timeout) {
      const { hostname: host, port } = new URL(api);
      return new Stripe('sk_test_123', { host, port, protocol: 'http', timeout }).paymentIntents.create(payment);
    },
  },
};

async function pay(client, mode, target, key, payment, timeout) {
  const { bare, plain } = asItComes[client];
  const page = await import(`./with_${client}.mjs`);
  // fetch has no retries to switch on; got and Stripe's SDK have them on.
  const isStripe = client === 'stripe';
  const safe = isStripe ? (api, ...intent) => page.pay(page.client(api, intent.pop()), ...intent) : page.pay;
  const send = { bare, plain: plain ?? bare, safe }[mode];
  const answer = await send(target, key, isStripe ? JSON.parse(payment) : Buffer.from(payment), timeout);
  if (isStripe) {
    return { status: answer.lastResponse.statusCode, body: JSON.stringify(answer) };
  }
  const body = answer.body ?? answer.data;
  return { status: answer.status ?? answer.statusCode, body: typeof body === 'string' ? body : JSON.stringify(body) };
}

const [client, mode, target, key, payment, timeout] = process.argv.slice(2);
let told;
try {
  told = await pay(client, mode, target, key, payment, 1000 * Number(timeout));
} catch (error) {
  const status = error.response?.status ?? error.response?.statusCode ?? error.statusCode;
  told = { error: `${error.name}: ${error.message}`, status };
}
console.log(JSON.stringify(told));
// A connection that is kept would keep the process.
process.exit(0);
