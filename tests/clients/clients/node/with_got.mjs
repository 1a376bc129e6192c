import got from 'got';

const http = got.extend({
  retry: {
    limit: 5,
    methods: ['POST'],
    statusCodes: [409, 429, 502, 503, 504],
    // Nothing is added to its 0, which ends the retries.
    calculateDelay: ({ computedValue }) => computedValue && computedValue + Math.random() * 500,
  },
  throwHttpErrors: false,
});

export function pay(url, key, payment, timeout = 30_000) {
  const headers = { 'Idempotency-Key': `"${key}"`, 'Content-Type': 'application/json' };
  return http.post(url, { body: payment, headers, timeout: { request: timeout } });
}
