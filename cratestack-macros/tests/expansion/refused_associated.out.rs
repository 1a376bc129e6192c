::core::compile_error! {
    "axum cannot call a handler that borrows `self`\nhelp: take `State<Self>`, or `self` by value where `Self` is an extractor"
}
::core::compile_error! {
    "`.await` cannot stand here: the expression gives a value at once, before the handler runs\nhelp: extract what it needs with an extractor of your own, and name that argument here"
}
#[allow(dead_code, unused_variables, clippy::all)]
#[doc(hidden)]
async fn __idempotent_pay(&self, Json(req): Json<CreatePayment>) {
    self.settle(req);
}
async fn pay(
    _: ::cratestack_runtime::__private::Guarded<()>,
) -> ::cratestack_runtime::__private::Response {
    ::cratestack_runtime::__private::refused()
}
