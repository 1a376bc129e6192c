::core::compile_error! {
    "a function with `name` needs a `key`, because there is no request whose header could have one\nhelp: write `key = order.id`, or another expression over the arguments, that a repeated call has in common with the first"
}
::core::compile_error! {
    "a function with `name` needs a `handle`, because there is no router whose state could provide one\nhelp: write `handle = self.idempotency`, or another expression that comes to an `Idempotency`"
}
::core::compile_error! {
    "an idempotent function cannot be `unsafe`\nhelp: remove `unsafe`, and put the unsafe part of the body into an `unsafe` block"
}
::core::compile_error! {
    "a function runs in one transaction, and takes one `Tx`\nhelp: remove this one, and execute all statements on the first"
}
#[allow(dead_code, unused_variables, unused_mut, clippy::all)]
unsafe fn book((id, tx2): (u64, u64)) -> impl Sized {
    let tx: Tx<Postgres> = ::cratestack_runtime::__private::unreturned();
    let other: Tx<Postgres> = ::cratestack_runtime::__private::unreturned();
    { tx.book(id, tx2, other) }
}
