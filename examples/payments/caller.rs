//! Who a request comes from.
//!
//! The service runs on one machine, for whoever tries it, and knows no users. A browser sends it the cookies of other
//! services of this machine, which name nobody here; the runtime's default refuses those, because elsewhere they are
//! sessions.

use std::net::SocketAddr;

use axum::{
    extract::ConnectInfo,
    http::{header::AUTHORIZATION, request::Parts},
};
use sha2::{Digest, Sha256};

/// Whoever sends one `Authorization` value, else one address.
pub(crate) fn of(request: &Parts) -> Option<String> {
    if let Some(credential) = request.headers.get(AUTHORIZATION) {
        // It lies in the table, where no credential belongs.
        let digest = Sha256::digest(credential);
        return Some(digest.iter().fold("credential:".to_owned(), |name, byte| format!("{name}{byte:02x}")));
    }
    let ConnectInfo(peer) = request.extensions.get::<ConnectInfo<SocketAddr>>()?;
    Some(format!("address:{}", peer.ip().to_canonical()))
}
