import Stripe from 'stripe';

export function pay(api, key, payment, timeout = 30_000) {
  const { hostname, port, protocol } = new URL(api);
  const stripe = new Stripe('sk_test_123', {
    host: hostname,
    port,
    protocol: protocol.replace(':', ''),
    maxNetworkRetries: 5,
    timeout,
  });
  return stripe.paymentIntents.create(payment, { idempotencyKey: key });
}
