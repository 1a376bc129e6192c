#[doc(hidden)]
async fn __idempotent_pay<const N: usize>(body: String) -> Self {
    let _ = &body;
    Self::paid(body)
}
fn pay<const N: usize>(
    idempotent_guarded: ::cratestack_runtime::__private::Guarded<(String,), (), true>,
) -> ::cratestack_runtime::__private::GuardedResponse {
    use ::cratestack_runtime::__private::{
        AnyArgument as _, AnyArgumentOf as _, AnyHandling as _, AnyOutcome as _,
        AnyReturned as _,
    };
    let _ = ::cratestack_runtime::__private::Argument::<String>::last;
    let _ = |idempotent_argument0: String| {
        let idempotent_outcome = ::cratestack_runtime::__private::outcome(
            Self::__idempotent_pay::<N>(idempotent_argument0),
        );
        ::cratestack_runtime::__private::handler_is_send(&idempotent_outcome);
        let _ = ::cratestack_runtime::__private::Returned::<Self>::whole;
    };
    let (mut idempotent_call, idempotent_arguments) = idempotent_guarded.into_parts();
    if idempotent_call.is_guarded() {
        #[allow(unused_variables)]
        let (idempotent_argument0,) = &idempotent_arguments;
        #[allow(
            unused_variables,
            clippy::needless_borrowed_reference,
            clippy::no_effect_underscore_binding,
            clippy::pattern_type_mismatch
        )]
        let body = idempotent_argument0;
        #[allow(
            clippy::needless_borrow,
            clippy::needless_borrows_for_generic_args,
            clippy::op_ref,
            clippy::used_underscore_binding
        )]
        {
            idempotent_call.key(&::cratestack_runtime::__private::part(&&(body)));
        }
    }
    ::cratestack_runtime::__private::run(
        idempotent_call,
        ::cratestack_runtime::__private::Options::new(),
        ::cratestack_runtime::__private::handling(
                idempotent_arguments,
                |(idempotent_argument0,)| Self::__idempotent_pay::<
                    N,
                >(idempotent_argument0),
            )
            .go(),
    )
}
