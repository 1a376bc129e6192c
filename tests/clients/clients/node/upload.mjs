// Sends one upload with one client, and prints the status of each call, 0 where no answer came in time.
//
// upload.mjs CLIENT MODE URL KEY
//
// MODE is `anew` (called twice), `retried` (called once, where the client sends it again) or `once` (encoded as
// docs/clients.md has it, sent twice).

import axios from 'axios';
import axiosRetry, { isNetworkError } from 'axios-retry';
import got from 'got';

import { encode } from './with_multipart.mjs';

const http = axios.create({ validateStatus: () => true });
axiosRetry(http, { retryCondition: isNetworkError });

const clients = {
  fetch: async (url, body, headers) => (await fetch(url, { method: 'POST', body, headers })).status,
  axios: async (url, body, headers) => (await http.post(url, body, { headers })).status,
  async got(url, body, headers) {
    try {
      const options = { body, headers, retry: { methods: ['POST'] }, timeout: { request: 2_000 }, throwHttpErrors: false };
      return (await got.post(url, options)).statusCode;
    } catch (error) {
      if (error.code !== 'ETIMEDOUT') {
        throw error;
      }
      return 0;
    }
  },
};

const [client, mode, url, key] = process.argv.slice(2);
const send = clients[client];
const form = new FormData();
form.append('amount', '12.00');
form.append('receipt', new Blob(['%PDF-1.7 receipt'], { type: 'application/pdf' }), 'receipt.pdf');
const headers = { 'Idempotency-Key': `"${key}"` };

const statuses = [];
if (mode === 'once') {
  const { type, body } = await encode(form);
  for (let call = 0; call < 2; call += 1) {
    statuses.push(await send(url, body, { ...headers, 'Content-Type': type }));
  }
} else {
  for (let call = 0; call < (mode === 'anew' ? 2 : 1); call += 1) {
    statuses.push(await send(url, form, headers));
  }
}
console.log(JSON.stringify(statuses));
process.exit(0);
