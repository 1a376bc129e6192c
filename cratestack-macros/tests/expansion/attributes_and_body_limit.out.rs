#[deprecated]
#[allow(unused_mut)]
#[cfg(all())]
pub(crate) fn idempotent_guarded(
    idempotent_guarded_request: ::cratestack_runtime::__private::Guarded<
        (Bytes,),
        (),
        false,
        65_536,
    >,
) -> ::cratestack_runtime::__private::GuardedResponse {
    #[allow(unused_mut)]
    #[cfg(all())]
    async fn idempotent_guarded(mut body: Bytes) {
        drop(body);
    }
    let _ = idempotent_guarded;
    use ::cratestack_runtime::__private::{
        AnyArgument as _, AnyArgumentOf as _, AnyHandling as _, AnyOutcome as _,
        AnyReturned as _,
    };
    let _ = ::cratestack_runtime::__private::Argument::<Bytes>::last;
    let _ = |idempotent_argument0: Bytes| {
        let idempotent_outcome = ::cratestack_runtime::__private::outcome(
            idempotent_guarded(idempotent_argument0),
        );
        ::cratestack_runtime::__private::handler_is_send(&idempotent_outcome);
    };
    let (idempotent_call, idempotent_arguments) = idempotent_guarded_request
        .into_parts();
    ::cratestack_runtime::__private::run(
        idempotent_call,
        ::cratestack_runtime::__private::Options::new(),
        ::cratestack_runtime::__private::handling(
                idempotent_arguments,
                |(idempotent_argument0,)| idempotent_guarded(idempotent_argument0),
            )
            .go(),
    )
}
