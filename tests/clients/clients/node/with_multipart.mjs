/** Encodes a `FormData` once: however often it is sent, its boundary and its bytes stay what they are. */
export async function encode(form) {
  const encoded = new Response(form);
  return { type: encoded.headers.get('Content-Type'), body: Buffer.from(await encoded.arrayBuffer()) };
}
