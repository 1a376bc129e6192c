use std::future::Future;
use std::marker::PhantomData;

use axum::response::{IntoResponse, Response};

use super::returned::Returned;
use crate::handle::Options;
use crate::http::{GuardedRequest, GuardedResponse, Work};

/// The call of a handler, yet to be made: a plain `fn` that returns a future may do its work before it returns it.
///
/// The arguments stand beside the closure, not in it. What a closure captures is not known to the type checker until
/// late, too late to tell whether it is `Send` where that decides between the two `go`.
pub struct Handling<A, C, F> {
    arguments: A,
    call: C,
    future: PhantomData<fn() -> F>,
}

/// The call of a handler.
pub fn handling<A, C: FnOnce(A) -> F, F>(arguments: A, call: C) -> Handling<A, C, F> {
    Handling { arguments, call, future: PhantomData }
}

impl<A, C, F> Handling<A, C, F>
where
    A: Send + 'static,
    C: FnOnce(A) -> F + Send + 'static,
    F: Future<Output: IntoResponse> + Send + 'static,
{
    /// Boxed once, so that everything behind it is compiled once.
    pub fn go(self) -> Work {
        Box::pin(async move { (self.call)(self.arguments).await.into_response() })
    }
}

/// Guards the handler.
pub fn run(request: GuardedRequest, options: Options, handler: Work) -> GuardedResponse {
    request.run(options, handler)
}

/// Stands in where the handler cannot run, which is told apart.
pub trait AnyHandling: Sized {
    /// It passes the type checker, and nothing after it: should ever no error tell that the handler cannot run, this
    /// does.
    fn go(self) -> Work {
        const { never::<Self>("this handler is no future of a response that moves between threads") };
        unreachable!()
    }
}

/// Fails to compile where it is instantiated. It asks about the type because a constant without one is evaluated where
/// it stands, in every optimised build of this crate.
pub(super) const fn never<T: Sized>(why: &str) {
    assert!(size_of::<T>() > isize::MAX.cast_unsigned(), "{}", why);
}

impl<A, C, F> AnyHandling for Handling<A, C, F> {}

/// The body of a handler that the attribute has refused: it compiles, and is never run.
pub fn refused() -> Response {
    axum::http::StatusCode::NOT_IMPLEMENTED.into_response()
}

/// What the handler's call gives, as a type to ask about.
pub struct CallOutput<F>(pub(super) PhantomData<fn() -> F>);

/// What the handler's call gives.
pub fn outcome<F>(_: F) -> CallOutput<F> {
    CallOutput(PhantomData)
}

impl<F: Future> CallOutput<F> {
    /// What the future gives, as a type to ask about.
    pub fn returned(&self) -> Returned<F::Output> {
        Returned(PhantomData)
    }
}

/// What is no future is told by [`handler_is_future`] alone.
pub trait AnyOutcome {
    /// A type that is always right.
    fn returned(&self) -> Returned<()> {
        Returned(PhantomData)
    }
}

impl<F> AnyOutcome for CallOutput<F> {}

/// Asks for a future.
pub fn handler_is_future<F: HandlerFuture>(_: &CallOutput<F>) {}

/// Asks for a future that can move between threads. The bound is the bare one, because the compiler then tells which
/// value is held across which await.
pub fn handler_is_send<F: Send>(_: &CallOutput<F>) {}

/// The same of a type with a name, which says itself what it is.
pub fn handler_type_is_send<F: SendFuture>(_: &CallOutput<F>) {}

/// Asks for an argument that can move between threads, of a handler whose future need not hold it.
pub fn argument_is_send<T: SendArgument>() {}

/// An argument that can move between threads.
#[diagnostic::on_unimplemented(
    message = "the argument `{Self}` cannot be sent between threads",
    label = "this type is not `Send`",
    note = "axum extracts on one thread and may call the handler on another: extract something that is `Send`, such as an \
            `Arc` in place of an `Rc`"
)]
pub trait SendArgument {}

#[diagnostic::do_not_recommend]
impl<T: Send> SendArgument for T {}

/// A future that can move between threads.
#[diagnostic::on_unimplemented(
    message = "the future of this handler cannot be sent between threads",
    label = "this type is not `Send`",
    note = "write `+ Send` in it, such as `Pin<Box<dyn Future<Output = …> + Send>>`, or write an `async fn`"
)]
pub trait SendFuture {}

#[diagnostic::do_not_recommend]
impl<F: Send> SendFuture for F {}

/// What a handler's call gives.
#[diagnostic::on_unimplemented(
    message = "this handler is not `async`, and returns `{Self}`, which is no future",
    label = "this is no future",
    note = "write `async fn`, or return `impl Future<Output = {Self}> + Send`"
)]
pub trait HandlerFuture {}

#[diagnostic::do_not_recommend]
impl<F: Future> HandlerFuture for F {}
