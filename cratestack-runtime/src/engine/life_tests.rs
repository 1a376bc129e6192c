//! A door of two lines: work whose reply is a number.

use std::sync::Mutex;

use bytes::Bytes;

use super::*;
use crate::MemoryStore;
use crate::engine::RunSteps;
use crate::engine::mode::Leased;
use crate::engine::model::{Disposition, Limit, Settled};
use crate::store::RecordId;

fn engine() -> Engine {
    Engine::new(Arc::new(MemoryStore::new()))
}

async fn run(engine: &Engine, claim: Option<u8>, reply: u32, transitions: &Arc<Mutex<Vec<Transition>>>) -> Answer<u32> {
    let minute = Duration::from_mins(1);
    let id = RecordId::new("p", "k");
    let claim = claim.map(|hash| OwnedClaim { id, request_hash: [hash; 32], lease: minute, retention: minute });
    let policy = Policy { store_timeout: minute, wait: Duration::ZERO, run_unreserved: false };
    let transitions = Arc::clone(transitions);
    let observe = move |transition, _: &Hold| transitions.lock().unwrap().push(transition);
    let work = move |_: Option<&Hold>, _: Option<RunSteps>| async move {
        let outcome = Outcome { code: 7, metadata: Vec::new(), body: Bytes::from(reply.to_string()) };
        Settled { disposition: Disposition::Record(outcome), reply, failure: None }
    };
    engine.run(Leased::over(engine), claim, policy, observe, work).await
}

#[tokio::test]
async fn a_reply_of_any_kind_is_had_once_and_then_its_record() {
    let (engine, transitions) = (engine(), Arc::default());
    assert!(matches!(run(&engine, Some(1), 5, &transitions).await, Answer::Ran(5)));
    let Answer::Replay(record) = run(&engine, Some(1), 6, &transitions).await else { panic!("it is recorded") };
    assert_eq!((record.response_status, &record.response_body[..]), (7, &b"5"[..]));
    assert!(matches!(run(&engine, Some(2), 6, &transitions).await, Answer::Conflict));
    assert_eq!(*transitions.lock().unwrap(), [Transition::Reserved, Transition::Recorded { code: 7 }]);
    assert_eq!(engine.wait_idle(Duration::ZERO).await, 0);
}

#[tokio::test]
async fn without_a_claim_work_is_bounded_and_nothing_else() {
    let (engine, transitions) = (engine(), Arc::default());
    assert!(matches!(run(&engine, None, 5, &transitions).await, Answer::Ran(5)));
    assert!(matches!(run(&engine, None, 6, &transitions).await, Answer::Ran(6)));
    assert!(transitions.lock().unwrap().is_empty(), "nothing is guarded, so nothing changes");
    engine.set_max_running(0);
    assert!(matches!(run(&engine, None, 7, &transitions).await, Answer::Overloaded(Limit::MaxRunning)));
}
