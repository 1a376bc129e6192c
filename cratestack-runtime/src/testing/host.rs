//! Who runs a service's processes, one at a time: the next one is started once it is needed.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use http::Request;
use tokio::sync::oneshot;

use super::answer::Answer;
use super::process::{Process, Reply};
use super::test_store::TestStore;
use crate::handle::Idempotency;
use crate::http::CrashPoint;
use crate::util::lock;

/// What makes of a process's store its router, and the handle that the router is made on.
pub(super) type Build<S> = dyn Fn(S, CrashPoint) -> (Router, Idempotency) + Send + Sync;

pub(super) struct Host<S> {
    store: S,
    build: Arc<Build<S>>,
    running: Mutex<Option<Arc<Running<S>>>>,
}

struct Running<S> {
    process: Process,
    /// What it was made of, once it is built.
    made: Arc<OnceLock<(S, Idempotency)>>,
}

/// The process was no more when it would have answered.
pub(super) struct Died;

/// The rest of a store is finer than this.
const TICK: Duration = Duration::from_millis(1);

impl<S: TestStore> Host<S> {
    pub(super) fn new(store: S, build: Arc<Build<S>>) -> Self {
        Self { store, build, running: Mutex::default() }
    }

    /// Sends so many requests, each before any is answered, and waits for all.
    pub(super) async fn send_all(&self, requests: Vec<Request<Bytes>>) -> Vec<Result<Answer, Died>> {
        let running = self.running().await;
        let sent: Vec<_> = requests.into_iter().map(|request| running.process.request(request)).collect();
        let mut answers = Vec::new();
        for reply in sent {
            answers.push(self.answer(&running, reply).await);
        }
        answers
    }

    pub(super) async fn send(&self, request: Request<Bytes>) -> Result<Answer, Died> {
        let running = self.running().await;
        let reply = running.process.request(request);
        self.answer(&running, reply).await
    }

    async fn answer(&self, running: &Arc<Running<S>>, reply: oneshot::Receiver<Reply>) -> Result<Answer, Died> {
        match reply.await {
            Ok(Reply::Answer(answer)) => Ok(answer),
            Ok(Reply::Cut(why)) => panic!("the connection was cut: {why}"),
            Err(_) => {
                self.bury(running).await;
                Err(Died)
            }
        }
    }

    /// The next guarded run to end does not get any further, or it does after all.
    pub(super) async fn arm(&self, is_armed: bool) {
        self.running().await.process.fate.arm(is_armed);
    }

    /// Ends the process, if there is one.
    pub(super) async fn end(&self) {
        let running = lock(&self.running).clone();
        if let Some(running) = running {
            running.process.fate.end();
            self.bury(&running).await;
        }
    }

    pub(super) async fn advance(&self, by: Duration) {
        if let Err(error) = self.store.advance(by).await {
            panic!("time does not pass in the store: {error}");
        }
        // What it keeps was to be kept for longer.
        if let Some((_, handle)) = lock(&self.running).as_ref().and_then(|running| running.made.get()) {
            handle.engine().replay_cache().clear();
        }
    }

    pub(super) async fn end_leases(&self) {
        match self.store.longest_lease().await {
            Ok(longest) => self.advance(longest + TICK).await,
            Err(error) => panic!("the store does not tell its leases: {error}"),
        }
    }

    async fn running(&self) -> Arc<Running<S>> {
        loop {
            let dead = match &mut *lock(&self.running) {
                Some(running) if running.process.fate.is_dead() => Arc::clone(running),
                Some(running) => return Arc::clone(running),
                none => return Arc::clone(none.insert(Arc::new(self.start()))),
            };
            self.bury(&dead).await;
        }
    }

    fn start(&self) -> Running<S> {
        let (store, build, made) = (self.store.clone(), Arc::clone(&self.build), Arc::new(OnceLock::new()));
        let of = Arc::clone(&made);
        let process = Process::start(move |fate| {
            let (store, fate) = (store.of_another_process(), Arc::clone(fate));
            let point = CrashPoint::new(move || {
                let fate = Arc::clone(&fate);
                async move { fate.crash_point().await }
            });
            let (router, handle) = build(store.clone(), point);
            of.get_or_init(|| (store, handle));
            router
        });
        Running { process, made }
    }

    /// Waits until a process that ends has ended, and nothing is left of it.
    async fn bury(&self, dead: &Arc<Running<S>>) {
        dead.process.ended().await;
        if let Some((store, _)) = dead.made.get()
            && let Err(error) = self.store.undone(store).await
        {
            panic!("the store does not outlive a process: {error}");
        }
        lock(&self.running).take_if(|running| Arc::ptr_eq(running, dead));
    }
}
