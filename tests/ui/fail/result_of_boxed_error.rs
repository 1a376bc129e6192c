use cratestack_runtime::idempotent;

use std::error::Error;

#[idempotent]
async fn pay() -> Result<String, Box<dyn Error>> {
    Ok(String::new())
}

fn main() {}
