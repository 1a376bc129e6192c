import axios from 'axios';
import axiosRetry, { exponentialDelay } from 'axios-retry';

const AGAIN = [409, 429, 502, 503, 504];

const http = axios.create();
axiosRetry(http, {
  retries: 5,
  retryCondition({ code, response }) {
    // Under a success, it is an answer that broke off half-way.
    const isLost = response === undefined || response.status < 400;
    return isLost ? code !== 'ERR_CANCELED' : AGAIN.includes(response.status);
  },
  // As long as `Retry-After` says, or 1 s, 2 s, 4 s …, and up to a fifth more.
  retryDelay: (retry, error) => exponentialDelay(retry, error, 500),
  // Each try has the whole timeout.
  shouldResetTimeout: true,
});

export function pay(url, key, payment, timeout = 30_000) {
  const headers = { 'Idempotency-Key': `"${key}"`, 'Content-Type': 'application/json' };
  return http.post(url, payment, { headers, timeout });
}
