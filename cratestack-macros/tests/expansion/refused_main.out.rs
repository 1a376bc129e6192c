::core::compile_error! {
    "`main` is no handler\nhelp: put `#[idempotent]` on the function that is mounted on a route"
}
#[tokio::main]
async fn main() {}
