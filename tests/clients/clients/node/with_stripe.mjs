import Stripe from 'stripe';

export function client(api, timeout = 30_000) {
  const { hostname, port, protocol } = new URL(api);
  return new Stripe('sk_test_123', {
    host: hostname,
    port,
    protocol: protocol.replace(':', ''),
    maxNetworkRetries: 5,
    timeout,
  });
}

export function pay(stripe, key, payment) {
  return stripe.paymentIntents.create(payment, { idempotencyKey: key });
}
