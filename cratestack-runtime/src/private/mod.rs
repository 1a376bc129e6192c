//! What generated code names. Not public API: anything here may change with any release.
//!
//! A handler's main path takes whatever it is given, and what is wrong with it is found apart, by `checks`: so a mistake
//! is one error, at the user's own token, and not one more for every bound on the way.

mod checks;

pub use std::boxed::Box;
use std::future::Future;

use axum::http::StatusCode;
pub use axum::response::{IntoResponse, Response};

pub use self::checks::*;
pub use crate::extract::{Guarded, Via};
pub use crate::http::{Call, Options, Part, Work, part};

/// A handler's call on its way to a response. Where it is a future of one that can move between threads, the method of
/// this type runs it; everything else falls back to the method of [`Fallback`], and a check says why.
#[derive(Debug)]
pub struct Handling<F>(pub F);

impl<F: Future<Output: IntoResponse> + Send + 'static> Handling<F> {
    /// The handler as the guard takes it.
    pub fn boxed(self) -> Work {
        Box::pin(async move { self.0.await.into_response() })
    }
}

/// What a mistaken handler runs into, so that it type-checks; it never runs.
pub trait Fallback: Sized {
    /// Runs nothing.
    fn boxed(self) -> Work {
        Box::pin(std::future::ready(refused()))
    }
}

impl<F> Fallback for Handling<F> {}

/// The body of a handler that the attribute has refused: it compiles, and is never run.
pub fn refused() -> Response {
    StatusCode::NOT_IMPLEMENTED.into_response()
}
