#[doc(hidden)]
async fn __idempotent_pay<T, const N: usize>(
    self: Box<Self>,
    Json(req): Json<[T; N]>,
) -> StatusCode
where
    T: Send + 'static,
{
    let _ = &self;
    let _ = &req;
    self.settle(req).await
}
#[doc(hidden)]
#[allow(unused_variables, clippy::all, clippy::pedantic, clippy::nursery)]
fn __idempotent_expressions_of_pay<T, const N: usize>(
    self: &Box<Self>,
    idempotent_call: &mut ::cratestack_runtime::__private::Call,
    (idempotent_argument1,): (&Json<[T; N]>,),
)
where
    T: Send + 'static,
{
    #[allow(
        unused_variables,
        clippy::needless_borrowed_reference,
        clippy::no_effect_underscore_binding,
        clippy::pattern_type_mismatch
    )]
    let Json(req) = idempotent_argument1;
    #[allow(
        clippy::needless_borrow,
        clippy::needless_borrows_for_generic_args,
        clippy::op_ref,
        clippy::used_underscore_binding
    )]
    {
        idempotent_call.key(&::cratestack_runtime::__private::part(&&(self.id(&req))));
    }
}
fn pay<T, const N: usize>(
    idempotent_guarded: ::cratestack_runtime::__private::Guarded<
        (Box<Self>, Json<[T; N]>),
        (),
        true,
    >,
) -> ::cratestack_runtime::__private::GuardedResponse
where
    T: Send + 'static,
{
    use ::cratestack_runtime::__private::{
        AnyArgument as _, AnyArgumentOf as _, AnyHandling as _, AnyOutcome as _,
        AnyReturned as _,
    };
    let _ = ::cratestack_runtime::__private::Argument::<Box<Self>>::leading;
    let _ = ::cratestack_runtime::__private::Argument::<Json<[T; N]>>::last;
    let _ = |idempotent_argument0: Box<Self>, idempotent_argument1: Json<[T; N]>| {
        let idempotent_outcome = ::cratestack_runtime::__private::outcome(
            Self::__idempotent_pay::<T, N>(idempotent_argument0, idempotent_argument1),
        );
        ::cratestack_runtime::__private::handler_is_send(&idempotent_outcome);
        let _ = ::cratestack_runtime::__private::Returned::<StatusCode>::whole;
    };
    let (mut idempotent_call, idempotent_arguments) = idempotent_guarded.into_parts();
    if idempotent_call.is_guarded() {
        #[allow(unused_variables)]
        let (idempotent_argument0, idempotent_argument1) = &idempotent_arguments;
        Self::__idempotent_expressions_of_pay::<
            T,
            N,
        >(idempotent_argument0, &mut idempotent_call, (idempotent_argument1,));
    }
    ::cratestack_runtime::__private::run(
        idempotent_call,
        ::cratestack_runtime::__private::Options::new(),
        ::cratestack_runtime::__private::handling(
                idempotent_arguments,
                |(idempotent_argument0, idempotent_argument1)| Self::__idempotent_pay::<
                    T,
                    N,
                >(idempotent_argument0, idempotent_argument1),
            )
            .go(),
    )
}
