//! What holds in every state.

use stateright::Property;

use crate::rules::Scenario;
use crate::state::{Broken, Mode, Run, State};

pub const ONE_EFFECT: &str = "a key has one effect within its retention, but for the named faults";
pub const NONE_BESIDE: &str = "a process runs no key beside itself";
pub const NO_STALE_WRITER: &str = "only the holder changes a row";
pub const NOT_ALTERED: &str = "a recorded outcome is not altered";
pub const NOT_OUTLIVED: &str = "no outcome is replayed past its retention";
pub const THE_RECORD: &str = "what is replayed is the recorded outcome";
pub const NO_STRANGER: &str = "one request has effects under a key";
pub const HELD_HOLDS: &str = "`Held` is said of a lease that lies ahead";
pub const NOTHING_IS_NOTHING: &str = "who is told that nothing happened is told the truth";
pub const RECORD_AND_EFFECT: &str = "a transaction's record and its effect are one";
pub const ONES_OWN: &str = "no caller sees another's outcome";
pub const HEALTHY: &str = "a healthy run keeps its lease";
pub const COMES_FREE: &str = "every key comes free";

/// What the guarantees name as a way to a second run is one: the model does not hold for want of faults.
pub const SECOND_RUN: &str = "after a fault that is named a second run begins";

pub fn all(scenario: &Scenario) -> Vec<Property<Scenario>> {
    let mut properties = vec![
        Property::always(ONE_EFFECT, |_, s: &State| s.runs.iter().filter(|run| run.counts()).count() <= 1),
        Property::always(NONE_BESIDE, |_, s: &State| {
            let beside = |at| s.runs.iter().filter(|run| run.at == at && run.is_live()).count();
            beside(0) <= 1 && beside(1) <= 1
        }),
        Property::always(NO_STALE_WRITER, |_, s: &State| s.keeps(Broken::StaleWriter)),
        Property::always(NOT_ALTERED, |_, s: &State| s.keeps(Broken::Altered)),
        Property::always(NOT_OUTLIVED, |_, s: &State| s.keeps(Broken::Outlived)),
        Property::always(THE_RECORD, |_, s: &State| s.keeps(Broken::NotTheRecord)),
        Property::always(NO_STRANGER, |_, s: &State| s.keeps(Broken::Stranger)),
        Property::always(HELD_HOLDS, |_, s: &State| s.keeps(Broken::HeldForNothing)),
        Property::always(NOTHING_IS_NOTHING, |_, s: &State| {
            !s.runs.iter().any(|run| run.told_nothing && run.has_effect)
        }),
        Property::always(RECORD_AND_EFFECT, |_, s: &State| s.keeps(Broken::RecordWithoutEffect)),
        Property::always(ONES_OWN, |_, s: &State| s.keeps(Broken::AnothersOutcome)),
        Property::always(HEALTHY, |_, s: &State| s.keeps(Broken::HealthyLeaseEnded)),
        Property::always(COMES_FREE, |scenario: &Scenario, s: &State| scenario.comes_free(s)),
    ];
    if scenario.faults.crash && scenario.callers.iter().any(|asker| asker.mode == Mode::Leased) {
        properties.push(Property::sometimes(SECOND_RUN, |_, s: &State| {
            let is_second = s.table.row.is_some_and(|row| row.attempt > 1 && row.outcome.is_none());
            is_second && s.table.effect_of.is_some() && s.runs.iter().any(Run::is_live)
        }));
    }
    properties
}

impl State {
    fn keeps(&self, promise: Broken) -> bool {
        self.broken != Some(promise)
    }
}
