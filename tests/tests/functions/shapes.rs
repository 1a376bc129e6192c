//! What such a function may look like.

use std::borrow::Cow;
use std::fmt::{Debug, Display};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use cratestack_runtime::{GuardError, Idempotency, MemoryStore, Reservation, async_trait, idempotent};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::shop::{Order, order};

struct Worker {
    idempotency: Idempotency,
    runs: usize,
}

fn worker() -> Worker {
    Worker { idempotency: Idempotency::new(MemoryStore::new()), runs: 0 }
}

type Told<T = usize> = Result<T, GuardError>;

impl Worker {
    #[idempotent(handle = self.idempotency, name = "by-ref", key = order.id)]
    async fn by_ref(&self, order: &Order) -> Told<(usize, String)> {
        Ok((self.runs, order.id.clone()))
    }

    #[idempotent(handle = self.idempotency, name = "by-mut", key = orders.len())]
    pub async fn by_mut(&mut self, orders: &mut Vec<Order>) -> Told {
        self.runs += 1;
        orders.push(order("another"));
        Ok(self.runs)
    }

    #[idempotent(handle = self.idempotency, name = "by-value", key = id)]
    async fn by_value(mut self, id: u64) -> Told {
        self.runs += 1;
        Ok(self.runs + usize::try_from(id).unwrap())
    }

    #[idempotent(handle = self.idempotency, name = "by-arc", key = id)]
    async fn by_arc(self: Arc<Self>, id: u64) -> Told {
        Ok(self.runs + usize::try_from(id).unwrap())
    }

    #[idempotent(handle = handle, name = "associated", key = id)]
    async fn associated(handle: Idempotency, id: u64) -> Told<Vec<u64>> {
        Ok(vec![id, Self::CONSTANT])
    }

    const CONSTANT: u64 = 7;
}

#[tokio::test]
async fn methods_take_self_in_every_way() {
    let mut worker = worker();
    let first = worker.by_ref(&order("a")).await.unwrap();
    worker.runs = 1;
    assert_eq!((worker.by_ref(&order("a")).await.unwrap(), first.0), (first, 0));
    let mut orders = vec![order("a")];
    assert_eq!((worker.by_mut(&mut orders).await.unwrap(), orders.len()), (2, 2));
    orders.pop();
    assert_eq!((worker.by_mut(&mut orders).await.unwrap(), orders.len(), worker.runs), (2, 1, 2));
    let handle = worker.idempotency.clone();
    assert_eq!(Worker::associated(handle.clone(), 1).await.unwrap(), [1, 7]);
    assert_eq!(worker.by_value(3).await.unwrap(), 6);
    assert_eq!(Worker { idempotency: handle.clone(), runs: 50 }.by_value(3).await.unwrap(), 6);
    let shared = Arc::new(Worker { idempotency: handle, runs: 5 });
    assert_eq!(Arc::clone(&shared).by_arc(1).await.unwrap(), 6);
}

#[idempotent(handle = handle, name = "patterns", key = (id, *first, tag), fingerprint = amount)]
async fn patterns(
    handle: &Idempotency,
    Order { id, amount }: Order,
    [first, .., last]: &[u64; 3],
    (mut text, _): (String, u8),
    tag: Cow<'_, str>,
    #[allow(unused)] unused: Option<&str>,
    _: (),
) -> Result<String, GuardError> {
    #![allow(clippy::pedantic)]
    text.push_str(&tag);
    Ok(format!("{id} {amount} {first} {last} {text}"))
}

#[tokio::test]
async fn arguments_are_patterns_of_any_kind() {
    let handle = Idempotency::new(MemoryStore::new());
    let call = async |last| {
        patterns(&handle, order("a"), &[1, 2, last], ("text".to_owned(), 0), Cow::Borrowed("!"), None, ()).await
    };
    assert_eq!(call(3).await.unwrap(), "a 100 1 3 text!");
    assert_eq!(call(4).await.unwrap(), "a 100 1 3 text!");
}

#[idempotent(handle = handle, name = "generic", key = (id, std::any::type_name::<T>()))]
async fn generic<T, const N: usize>(handle: Idempotency, id: u64, value: T) -> Result<Vec<T>, GuardError>
where
    T: Clone + Serialize + DeserializeOwned + Send + 'static,
{
    let _ = id;
    Ok(vec![value; N])
}

#[idempotent(handle = handle, name = "impl", key = name.to_string())]
async fn of_any(handle: &Idempotency, name: impl Display + Debug, read: &dyn Fn(u64) -> u64) -> Told<String> {
    Ok(format!("{name} {name:?} {}", read(1)))
}

struct Generic<'a, T> {
    idempotency: &'a Idempotency,
    value: T,
}

impl<T: Clone + Serialize + DeserializeOwned> Generic<'_, T> {
    #[idempotent(handle = self.idempotency, name = "of-generic", key = id)]
    async fn value(&self, id: u64) -> Result<T, GuardError> {
        let _ = id;
        Ok(self.value.clone())
    }
}

#[tokio::test]
async fn functions_are_generic() {
    let handle = Idempotency::new(MemoryStore::new());
    assert_eq!(generic::<_, 2>(handle.clone(), 1, 'a').await.unwrap(), ['a', 'a']);
    assert_eq!(generic::<_, 3>(handle.clone(), 1, 'b').await.unwrap(), ['a', 'a']);
    assert_eq!(generic::<_, 1>(handle.clone(), 1, 7).await.unwrap(), [7]);
    assert_eq!(of_any(&handle, "a", &|one| one + 1).await.unwrap(), "a \"a\" 2");
    assert_eq!(of_any(&handle, 'a', &|one| one + 2).await.unwrap(), "a \"a\" 2");
    let (one, other) = (Generic { idempotency: &handle, value: 1 }, Generic { idempotency: &handle, value: 2 });
    assert_eq!((one.value(7).await.unwrap(), other.value(7).await.unwrap()), (1, 1));
}

/// A future that stays on its thread, of a function that borrows: it runs where it is called.
#[tokio::test]
async fn a_function_that_borrows_need_not_be_send() {
    #[idempotent(handle = handle, name = "rc", key = *count)]
    async fn of_rc(handle: &Idempotency, count: Rc<usize>) -> Told {
        tokio::task::yield_now().await;
        Ok(*count + Rc::strong_count(&count))
    }
    let handle = Idempotency::new(MemoryStore::new());
    let count = Rc::new(7);
    assert_eq!(of_rc(&handle, Rc::clone(&count)).await.unwrap(), 9);
    assert_eq!(of_rc(&handle, count).await.unwrap(), 9);
}

trait Consumer {
    async fn consume(&self, order: Order) -> Told;

    fn consume_elsewhere(&self, order: Order) -> impl Future<Output = Told> + Send;
}

impl Consumer for Worker {
    #[idempotent(handle = self.idempotency, name = "consume", key = order.id)]
    async fn consume(&self, order: Order) -> Told {
        let _ = order;
        Ok(self.runs)
    }

    #[idempotent(handle = self.idempotency, name = "consume", key = order.id)]
    fn consume_elsewhere(&self, order: Order) -> impl Future<Output = Told> + Send {
        assert!(!order.id.is_empty());
        async move { Ok(self.runs + 100) }
    }
}

#[async_trait]
trait Job: Sync {
    async fn run(&self, order: &Order) -> Told<String>;

    async fn run_by_default(&self, id: u64) -> Told<u64> {
        Ok(id)
    }
}

#[async_trait]
impl Job for Worker {
    #[idempotent(handle = self.idempotency, name = "job", key = order.id)]
    async fn run(&self, order: &Order, reservation: Reservation) -> Told<String> {
        if order.id == "early" {
            return Ok("early".to_owned());
        }
        tokio::task::yield_now().await;
        let step = reservation.step("count", async || Ok::<_, cratestack_runtime::StepError>(self.runs)).await;
        Ok(format!("{} {:?}", order.id, step))
    }
}

#[tokio::test]
async fn methods_of_traits_are_functions_too() {
    let mut worker = worker();
    assert_eq!(worker.consume(order("a")).await.unwrap(), 0);
    assert_eq!(worker.consume_elsewhere(order("a")).await.unwrap(), 0);
    assert_eq!(worker.consume_elsewhere(order("b")).await.unwrap(), 100);
    assert_eq!(Job::run(&worker, &order("a")).await.unwrap(), "a Ok(0)");
    assert_eq!(worker.run_by_default(7).await.unwrap(), 7);
    worker.runs = 1;
    let job: &dyn Job = &worker;
    assert_eq!(job.run(&order("a")).await.unwrap(), "a Ok(0)");
    assert_eq!(job.run(&order("early")).await.unwrap(), "early");
    tokio::spawn(async move { worker.run(&order("c")).await.unwrap() }).await.unwrap();
}

#[idempotent(handle = handle, name = "boxed", key = id)]
fn boxed(handle: &Idempotency, id: u64) -> Pin<Box<dyn Future<Output = Told<u64>> + Send + '_>> {
    if id == 0 {
        return Box::pin(async { Ok(0) });
    }
    let handle = handle.clone();
    Box::pin(async move {
        tokio::task::yield_now().await;
        drop(handle);
        Ok(id + 1)
    })
}

#[tokio::test]
async fn a_function_may_return_its_future() {
    let handle = Idempotency::new(MemoryStore::new());
    assert_eq!((boxed(&handle, 0).await.unwrap(), boxed(&handle, 1).await.unwrap()), (0, 2));
    let (handle, spawned) = (handle.clone(), tokio::spawn(async move { boxed(&handle, 1).await }));
    drop(handle);
    assert_eq!(spawned.await.unwrap().unwrap(), 2);
}

macro_rules! jobs {
    ($($name:ident($argument:ident: $ty:ty) as $text:literal by $key:expr => $body:block;)*) => {$(
        #[idempotent(handle = handle, name = $text, key = $key)]
        async fn $name(handle: &Idempotency, $argument: $ty) -> Told<String> $body
    )*};
}

jobs! {
    greet(name: &str) as "greet" by name => { Ok(format!("hello, {name}")) };
    count(number: u64) as "count" by number => {
        let number = number.checked_add(1).unwrap_or_default();
        Ok(number.to_string())
    };
}

#[tokio::test]
async fn functions_may_come_from_a_macro() {
    let handle = Idempotency::new(MemoryStore::new());
    assert_eq!(greet(&handle, "you").await.unwrap(), "hello, you");
    assert_eq!(count(&handle, 1).await.unwrap(), "2");
}

mod errors {
    use super::{Idempotency, MemoryStore, idempotent};

    /// As it is had from a library.
    #[derive(Debug)]
    pub struct AnyError(Box<dyn std::error::Error + Send + Sync>);

    impl<E: std::error::Error + Send + Sync + 'static> From<E> for AnyError {
        fn from(error: E) -> Self {
            Self(Box::new(error))
        }
    }

    #[idempotent(handle = handle, name = "any-error", key = text)]
    async fn parsed(handle: &Idempotency, text: &str) -> Result<u64, AnyError> {
        Ok(text.parse()?)
    }

    #[idempotent(handle = handle, name = "dyn-error", key = text)]
    async fn boxed(handle: &Idempotency, text: &str) -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
        Ok(text.parse()?)
    }

    #[tokio::test]
    async fn an_error_may_take_any_other() {
        let handle = Idempotency::new(MemoryStore::new());
        assert_eq!((parsed(&handle, "7").await.unwrap(), boxed(&handle, "7").await.unwrap()), (7, 7));
        assert!(parsed(&handle, "x").await.unwrap_err().0.to_string().contains("digit"));
        let missing = boxed(&handle, "").await.unwrap_err();
        assert!(missing.to_string().contains("`dyn-error` was called without a key"), "{missing}");
    }
}
