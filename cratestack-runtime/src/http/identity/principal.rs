//! Who a request's key belongs to: the name that its row bears.
//!
//! | who says it | the name |
//! |---|---|
//! | nobody: the default | SHA-256 of the `Authorization` value as 64 hexadecimal digits, else the peer's IP address |
//! | `principal = EXPR` | a digest under a context of its own, as 64 hexadecimal digits |
//! | [`Idempotency::principal`](crate::Idempotency::principal) | what it returns |
//!
//! The digests' spelling lies in tables and does not change. So what that function returns gives way to it: a name that
//! looks like a digest, or bears the [`MARK`], is stored as a marked digest of itself. A handle's namespace stands
//! before any of them, `orders→…`, and so does not read like a name without one.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use axum::extract::ConnectInfo;
use axum::extract::connect_info::MockConnectInfo;
use http::header;
use http::request::Parts;
use tracing::error;

use crate::handle::{given, holder_of};
use crate::util::{ShortText, lock};

/// What a service says its callers are.
pub(crate) type Identify = dyn Fn(&Parts) -> Option<String> + Send + Sync;

/// Why a request has no caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unidentified {
    /// No `Authorization`, and no address either.
    NoAddress,
    /// A session's cookie, say, which only the application can read.
    Cookie,
    /// More than one `Authorization`: the application may go by another of them than we would.
    Ambiguous,
    /// The function of `Idempotency::principal` names nobody.
    Unnamed,
    /// `principal = EXPR` comes to nothing.
    Absent,
}

/// Who sends this request, where no expression of the attribute says it.
pub(crate) fn caller(identify: Option<&Identify>, parts: &Parts) -> Result<ShortText, Unidentified> {
    let Some(identify) = identify else { return verified_caller(parts) };
    // An empty name is nobody's, and would be everybody's.
    let name = identify(parts).filter(|name| !name.is_empty()).ok_or(Unidentified::Unnamed)?;
    Ok(given(name).into())
}

/// The default caller: whoever holds the `Authorization` value, else the peer's address.
///
/// Forwarded-for headers are not looked at, because a client writes them as it likes. Where there are cookies, the
/// address may be that of a proxy which many sessions share.
fn verified_caller(parts: &Parts) -> Result<ShortText, Unidentified> {
    if parts.headers.get_all(header::AUTHORIZATION).iter().nth(1).is_some() {
        return Err(Unidentified::Ambiguous);
    }
    // An empty value is nobody's: to hash it would put all who send one under one name.
    let authorization = parts.headers.get(header::AUTHORIZATION).map(|value| value.as_bytes().trim_ascii());
    if let Some(value) = authorization.filter(|value| !value.is_empty()) {
        return Ok(holder_of(value));
    }
    if parts.headers.contains_key(header::COOKIE) {
        return Err(Unidentified::Cookie);
    }
    let peer = match parts.extensions.get::<ConnectInfo<SocketAddr>>() {
        Some(ConnectInfo(peer)) => Some(peer),
        // Where there are no sockets, as in tests, axum lets the peer be set.
        None => parts.extensions.get::<MockConnectInfo<SocketAddr>>().map(|MockConnectInfo(peer)| peer),
    };
    // A listener for both kinds of addresses shows IPv4 ones mapped into IPv6.
    let peer = peer.ok_or(Unidentified::NoAddress)?;
    Ok(peer.ip().to_canonical().to_string().into())
}

impl Unidentified {
    /// Tells the operator what to mend. What any client can send is told once a minute.
    pub(crate) fn log(self) {
        static COOKIE: OnceAMinute = OnceAMinute(Mutex::new(None));
        static AMBIGUOUS: OnceAMinute = OnceAMinute(Mutex::new(None));
        let is_due = match self {
            Self::Cookie => COOKIE.is_due(Instant::now()),
            Self::Ambiguous => AMBIGUOUS.is_due(Instant::now()),
            Self::NoAddress | Self::Unnamed | Self::Absent => true,
        };
        if is_due {
            error!("idempotency: {}", self.remedy());
        }
    }

    fn remedy(self) -> &'static str {
        match self {
            Self::NoAddress => {
                "a request has no verifiable caller and was refused. Serve the router with \
                 `into_make_service_with_connect_info::<SocketAddr>()`, or tell the caller with `principal = …` or \
                 `Idempotency::principal`"
            }
            Self::Cookie => {
                "requests with a `Cookie` and no `Authorization` have no verifiable caller and are refused: only the \
                 application knows whose session it is. Tell the caller with `principal = …` (such as \
                 `principal = session.user_id`) or `Idempotency::principal`. This is told once a minute"
            }
            Self::Ambiguous => {
                "requests with more than one `Authorization` have no verifiable caller and are refused. Where a gateway \
                 adds one, have it replace the client's, or tell the caller with `principal = …` or \
                 `Idempotency::principal`. This is told once a minute"
            }
            Self::Unnamed => {
                "`Idempotency::principal` named no caller for a request, which was refused. Return a name that is not \
                 empty for every request with a key, or reject those of unknown callers in a layer or an extractor"
            }
            Self::Absent => {
                "the `principal = …` of a handler came to nothing (`None` or empty, alone or in a tuple) for a request, \
                 which was refused. Reject requests without a caller in an extractor; where a part may be missing, name \
                 what stands for it, such as `principal = (tenant.id, user.id.unwrap_or(0))`"
            }
        }
    }
}

/// Lets something happen once a minute.
struct OnceAMinute(Mutex<Option<Instant>>);

impl OnceAMinute {
    fn is_due(&self, now: Instant) -> bool {
        let mut last = lock(&self.0);
        let is_due = last.is_none_or(|last| now.saturating_duration_since(last) >= Duration::from_secs(60));
        if is_due {
            *last = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handle::{MARK, MAX_PRINCIPAL_BYTES, looks_like_a_digest, record_id};

    const DIGEST: &str = "622e64b2c22f425807dd4e58a766a477bf47edd1548967fa4fd37ec9ff36d2b1";

    fn within(namespace: Option<&str>, name: &str) -> String {
        record_id(namespace, name, "8e03").principal().to_owned()
    }

    fn is_marked(name: &str) -> bool {
        name.strip_prefix(MARK).is_some_and(looks_like_a_digest)
    }

    #[test]
    fn a_given_name_cannot_spell_what_is_stored_for_another() {
        for plain in ["alice", "192.0.2.7", "user:7", &DIGEST[1..], &DIGEST.to_uppercase(), &format!("{DIGEST}0")] {
            assert_eq!(given(plain.to_owned()), plain);
        }
        let marked = given(DIGEST.to_owned());
        assert!(is_marked(&marked) && !marked.contains(DIGEST), "{marked}");
        for name in [marked, format!("orders{MARK}alice"), MARK.to_string(), format!("{}{MARK}", "a".repeat(300))] {
            let stored = given(name.clone());
            assert!(is_marked(&stored) && stored != name, "{name} as {stored}");
        }
        let long = given("a".repeat(256));
        assert!(looks_like_a_digest(&long));
        assert!(is_marked(&given(long)), "nor can it spell a long name's digest");
    }

    /// Rows in databases hold these: they do not change. Computed with Python's `hashlib`.
    #[test]
    fn stored_names_are_pinned() {
        assert_eq!(&*holder_of(b"Bearer sk_test_123"), DIGEST);
        assert_eq!(given(DIGEST.to_owned()), "→56670fe6eb2e33b0de77730b802d0d8781070cf9ebf7462daef08a71d68f6c0e");
        assert_eq!(given("a".repeat(256)), "7a4996fdaf8040546cf8eab9a46c12d549d5deb39a44ea21537bf6f01bfe507f");
        assert_eq!(within(None, "alice"), "alice");
        assert_eq!(within(Some("orders"), "alice"), "orders→alice");
        assert_eq!(
            within(Some("orders"), &"a".repeat(255)),
            "orders→→05eabc9c5e0253a7b42305b023de5e876d365caea6ecdf6371e772e6cbb74513"
        );
    }

    #[test]
    fn namespaces_keep_names_apart_and_within_the_bound() {
        let names = ["alice".to_owned(), DIGEST.to_owned(), given(DIGEST.to_owned()), "a".repeat(240), "a".repeat(255)];
        let longest = "n".repeat(64);
        let mut stored = std::collections::HashSet::new();
        for namespace in [None, Some("orders"), Some("order"), Some(longest.as_str())] {
            for name in &names {
                let whole = within(namespace, name);
                assert!(whole.len() <= MAX_PRINCIPAL_BYTES, "{whole}");
                assert!(stored.insert(whole.clone()), "{whole} is another's");
            }
        }
    }

    #[test]
    fn what_clients_can_cause_is_told_once_a_minute() {
        let (once, start) = (OnceAMinute(Mutex::default()), Instant::now());
        let told = [0, 1, 59, 60, 61, 119, 120].map(|seconds| once.is_due(start + Duration::from_secs(seconds)));
        assert_eq!(told, [true, false, false, true, false, false, true]);
    }
}
