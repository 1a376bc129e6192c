import { setTimeout as sleep } from 'node:timers/promises';

const AGAIN = [409, 429, 502, 503, 504];
const RETRIES = 5;

export async function pay(url, key, payment, timeout = 30_000) {
  for (let retry = 0; ; retry += 1) {
    let pause = Math.random() * 500 * 2 ** retry;
    try {
      const response = await fetch(url, {
        method: 'POST',
        headers: { 'Idempotency-Key': `"${key}"`, 'Content-Type': 'application/json' },
        body: payment,
        signal: AbortSignal.timeout(timeout),
      });
      // Within the `try`: an answer can break off half-way.
      const body = await response.text();
      if (!AGAIN.includes(response.status) || retry === RETRIES) {
        return { status: response.status, body };
      }
      pause += 1000 * (Number(response.headers.get('Retry-After')) || 0);
    } catch (error) {
      if (retry === RETRIES) {
        throw error;
      }
    }
    await sleep(pause);
  }
}
