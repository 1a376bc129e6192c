#[allow(clippy::needless_pass_by_value)]
#[doc(hidden)]
fn __idempotent_pay(self, body: String) -> impl Future<Output = Self> + Send {
    let _ = &self;
    Self::paid(self.id, body)
}
#[doc(hidden)]
#[allow(unused_variables, clippy::all, clippy::pedantic, clippy::nursery)]
fn __idempotent_expressions_of_pay(
    self: &Self,
    idempotent_call: &mut ::cratestack_runtime::__private::Call,
    (idempotent_argument1,): (&String,),
) {
    #[allow(
        clippy::needless_borrow,
        clippy::needless_borrows_for_generic_args,
        clippy::op_ref,
        clippy::used_underscore_binding
    )]
    {
        idempotent_call.key(&::cratestack_runtime::__private::part(&&(self.id)));
    }
}
#[allow(clippy::needless_pass_by_value)]
fn pay(
    idempotent_guarded: ::cratestack_runtime::__private::Guarded<
        (Self, String),
        (),
        true,
    >,
) -> ::cratestack_runtime::__private::GuardedResponse {
    use ::cratestack_runtime::__private::{
        AnyArgument as _, AnyArgumentOf as _, AnyHandling as _, AnyOutcome as _,
        AnyReturned as _,
    };
    let _ = ::cratestack_runtime::__private::Argument::<Self>::leading;
    let _ = ::cratestack_runtime::__private::Argument::<String>::last;
    let _ = ::cratestack_runtime::__private::argument_is_send::<Self>;
    let _ = ::cratestack_runtime::__private::argument_is_send::<String>;
    let _ = |idempotent_argument0: Self, idempotent_argument1: String| {
        let idempotent_outcome = ::cratestack_runtime::__private::outcome(
            Self::__idempotent_pay(idempotent_argument0, idempotent_argument1),
        );
        ::cratestack_runtime::__private::handler_is_send(&idempotent_outcome);
        ::cratestack_runtime::__private::handler_is_future(&idempotent_outcome);
        idempotent_outcome.returned().whole();
    };
    let (mut idempotent_call, idempotent_arguments) = idempotent_guarded.into_parts();
    if idempotent_call.is_guarded() {
        #[allow(unused_variables)]
        let (idempotent_argument0, idempotent_argument1) = &idempotent_arguments;
        Self::__idempotent_expressions_of_pay(
            idempotent_argument0,
            &mut idempotent_call,
            (idempotent_argument1,),
        );
    }
    ::cratestack_runtime::__private::run(
        idempotent_call,
        ::cratestack_runtime::__private::Options::new(),
        ::cratestack_runtime::__private::handling(
                idempotent_arguments,
                |(idempotent_argument0, idempotent_argument1)| Self::__idempotent_pay(
                    idempotent_argument0,
                    idempotent_argument1,
                ),
            )
            .go(),
    )
}
