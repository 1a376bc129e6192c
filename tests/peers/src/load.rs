//! Callers that ask again as soon as they are answered, or at a given rate.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::Fallible;
use crate::sample::{Sample, Used};
use crate::{network, server};

/// What a call tells its driver.
#[derive(Debug, Clone, Copy)]
pub enum Call {
    /// It was answered after this long.
    Took(Duration),
    /// There is nothing left to ask for.
    Exhausted,
}

/// How a load is put on something.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub callers: usize,
    pub lasting: Duration,
    /// All callers together, per second; without it each asks again at once.
    pub rate: Option<f64>,
}

/// Before anything counts: connections, plans and caches become warm.
fn warm_up(load: Load) -> Duration {
    (load.lasting / 5).min(Duration::from_millis(500))
}

/// Puts `load` on `call` and says how it was answered.
///
/// # Errors
///
/// The first of any caller's; the others then stop.
pub async fn drive<C, F>(load: Load, call: C) -> Fallible<Sample>
where
    C: Fn() -> F + Clone + Send + 'static,
    F: Future<Output = Fallible<Call>> + Send,
{
    let from = Instant::now() + warm_up(load);
    let until = from + load.lasting;
    let stop = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for n in 0..load.callers {
        let (call, stop) = (call.clone(), Arc::clone(&stop));
        callers.spawn(async move {
            let ended = one_caller(load, n, (from, until), &stop, call).await;
            if ended.is_err() {
                stop.store(true, Ordering::Relaxed);
            }
            ended
        });
    }
    tokio::time::sleep_until(from.into()).await;
    let before = Used { cpu: own_cpu(), server: server::usage().await, passed: network::passed() };
    let (mut latencies, mut last) = (Vec::new(), from);
    while let Some(ended) = callers.join_next().await {
        let (of_one, end) = ended??;
        latencies.extend(of_one);
        last = last.max(end);
    }
    let after = Used { cpu: own_cpu(), server: server::usage().await, passed: network::passed() };
    Ok(Sample::new(latencies, last.min(until) - from, (before, after)))
}

async fn one_caller<C, F>(
    load: Load,
    n: usize,
    (from, until): (Instant, Instant),
    stop: &AtomicBool,
    call: C,
) -> Fallible<(Vec<Duration>, Instant)>
where
    C: Fn() -> F,
    F: Future<Output = Fallible<Call>>,
{
    let mut latencies = Vec::new();
    // Spread evenly, and measured from when each call was due: a server that stalls must not slow its own examination.
    #[allow(clippy::cast_precision_loss)]
    let every = load.rate.map(|rate| Duration::from_secs_f64(load.callers as f64 / rate));
    let mut due = Instant::now() + every.unwrap_or_default().mul_f64(share(n, load.callers));
    while Instant::now() < until && !stop.load(Ordering::Relaxed) {
        let mut late = Duration::ZERO;
        if let Some(every) = every {
            tokio::time::sleep_until(due.into()).await;
            late = due.elapsed();
            due += every;
        }
        // What never waits would keep its thread from the other callers.
        tokio::task::yield_now().await;
        let begun = Instant::now();
        let Call::Took(took) = call().await? else { return Ok((latencies, Instant::now())) };
        let end = Instant::now();
        if begun >= from && end <= until {
            latencies.push(took + late);
        }
    }
    Ok((latencies, Instant::now()))
}

#[allow(clippy::cast_precision_loss)]
fn share(n: usize, of: usize) -> f64 {
    n as f64 / of as f64
}

/// What this process has used so far, where the system tells; the server's processes are others, and the network is
/// nobody's.
fn own_cpu() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name before the last parenthesis may contain anything; user and system time are the 14th and 15th field.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks: u64 = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 10).saturating_sub(network::cpu()?))
}
