//! A process of the service: a tokio runtime on a thread of its own.
//!
//! ```text
//! test                       the process's thread
//! start ───────────────────▶ builds the router
//! a request ───────────────▶ a task answers it
//! hangs up ────────────────▶ that task is dropped; a guarded run goes on, on its own task
//!                            a run comes to its crash: it stops where it is
//!            ◀── no answer ─ the runtime is shut down: every task is dropped where it stands
//! waits      ◀──────── ended
//! ```
//!
//! That is a crash as far as the store can tell: what was not sent to it is never sent, and connections with what they
//! had open are dropped.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tower_service::Service as _;
use tracing::Dispatch;

use super::answer::Answer;
use crate::util::{catch_panic, lock};

thread_local! {
    static FATE: RefCell<Option<Arc<Fate>>> = const { RefCell::new(None) };
}

/// Whether a process is to end, and what of.
#[derive(Debug, Default)]
pub(super) struct Fate {
    is_dead: AtomicBool,
    told: Notify,
    /// The next run that comes to its crash point does not get beyond it.
    is_armed: AtomicBool,
}

impl Fate {
    /// That of the process whose thread this is.
    pub(super) fn of_this_process() -> Option<Arc<Self>> {
        FATE.with_borrow(Clone::clone)
    }

    pub(super) fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::SeqCst)
    }

    pub(super) fn end(&self) {
        self.is_dead.store(true, Ordering::SeqCst);
        self.told.notify_one();
    }

    /// Ends the process that this is called in: it never returns.
    pub(super) async fn end_here(&self) {
        self.end();
        std::future::pending::<()>().await;
    }

    pub(super) fn arm(&self, is_armed: bool) {
        self.is_armed.store(is_armed, Ordering::SeqCst);
    }

    pub(super) async fn crash_point(&self) {
        if self.is_armed.swap(false, Ordering::SeqCst) {
            self.end_here().await;
        }
    }
}

/// What a request came to.
pub(super) enum Reply {
    Answer(Answer),
    /// The connection was cut: something panicked that no guard stands around, or the body could not be sent.
    Cut(String),
}

struct Job {
    request: Request<Bytes>,
    reply: oneshot::Sender<Reply>,
}

pub(super) struct Process {
    pub(super) fate: Arc<Fate>,
    jobs: mpsc::UnboundedSender<Job>,
    ended: watch::Receiver<bool>,
    panic: Arc<Mutex<Option<Box<dyn Any + Send>>>>,
}

impl Process {
    /// Starts it; `build` is called in it.
    pub(super) fn start(build: impl FnOnce(&Arc<Fate>) -> Router + Send + 'static) -> Self {
        let fate = Arc::new(Fate::default());
        let (jobs, mut arriving) = mpsc::unbounded_channel::<Job>();
        let (at_end, ended) = watch::channel(false);
        let panic = Arc::new(Mutex::new(None));
        let process = Self { fate: Arc::clone(&fate), jobs, ended, panic: Arc::clone(&panic) };
        // What a test looks at the log with counts for its own thread.
        let dispatch = tracing::dispatcher::get_default(Dispatch::clone);
        let life = move || {
            let _log = tracing::dispatcher::set_default(&dispatch);
            FATE.set(Some(Arc::clone(&fate)));
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.unwrap_or_else(|error| panic!("no runtime for a process of the service: {error}"));
            runtime.block_on(async {
                let router = build(&fate);
                loop {
                    tokio::select! {
                        biased;
                        () = fate.told.notified() => break,
                        job = arriving.recv() => match job {
                            Some(job) => drop(tokio::spawn(serve(router.clone(), job))),
                            None => break,
                        },
                    }
                }
            });
            // Every task is dropped here; nobody waits for threads that block.
            runtime.shutdown_timeout(Duration::ZERO);
        };
        let thread = std::thread::Builder::new().name("service".to_owned());
        let spawned = thread.spawn(move || {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(life)) {
                *lock(&panic) = Some(payload);
            }
            // There may be nobody left who waits.
            let _ = at_end.send(true);
        });
        spawned.unwrap_or_else(|error| panic!("no thread for a process of the service: {error}"));
        process
    }

    /// `None` where the process is no more when it would answer.
    pub(super) fn request(&self, request: Request<Bytes>) -> oneshot::Receiver<Reply> {
        let (reply, answer) = oneshot::channel();
        // If there is no process, the sender is dropped, and that is the answer.
        let _ = self.jobs.send(Job { request, reply });
        answer
    }

    /// Waits until it is no more. A panic of what builds the router is the test's.
    pub(super) async fn ended(&self) {
        let _ = self.ended.clone().wait_for(|ended| *ended).await;
        if let Some(payload) = lock(&self.panic).take() {
            resume_unwind(payload);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.fate.end();
    }
}

async fn serve(router: Router, job: Job) {
    let Job { request, mut reply } = job;
    let answered = tokio::select! {
        answered = catch_panic(answer(router, request)) => answered,
        // The client has hung up.
        () = reply.closed() => return,
    };
    let _ =
        reply.send(answered.unwrap_or_else(|| Reply::Cut("a layer or a handler without a guard panicked".to_owned())));
}

async fn answer(mut router: Router, request: Request<Bytes>) -> Reply {
    let Ok(response): Result<Response<Body>, _> = router.call(request.map(Body::from)).await;
    let (parts, body) = response.into_parts();
    match body.collect().await {
        Ok(body) => Reply::Answer(Answer { status: parts.status, headers: parts.headers, body: body.to_bytes() }),
        Err(error) => Reply::Cut(format!("the response's body failed: {error}")),
    }
}
