//! What HTTP says about idempotency: the header's grammar, fingerprints, recorded headers, problem details.

// The guard is what calls these.
#[allow(dead_code)]
pub(crate) mod fingerprint;
#[allow(dead_code)]
pub(crate) mod headers;
#[allow(dead_code)]
pub(crate) mod key;
#[allow(dead_code)]
pub(crate) mod problem;
