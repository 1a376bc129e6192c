use std::sync::Mutex;
use cratestack_runtime::idempotent;

static TOTAL: Mutex<u64> = Mutex::new(0);

#[idempotent]
async fn pay() {
    let mut total = TOTAL.lock().unwrap();
    std::future::ready(()).await;
    *total += 1;
}

fn main() {}
