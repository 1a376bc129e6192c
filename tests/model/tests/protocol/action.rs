//! A step of a history.

use std::fmt;

use crate::state::Id;

/// What becomes of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Prompt,
    /// It is executed, or its answer arrives, at any later time.
    Late,
    /// It is executed, and its sender is told an error.
    AnswerLost,
    /// It is not executed, and its sender is told an error.
    RequestLost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Ask {
        caller: u8,
        at: u8,
        way: Way,
    },
    AskAgain {
        caller: u8,
    },
    TakeShared {
        caller: u8,
    },
    Complete {
        run: Id,
    },
    Panic {
        run: Id,
    },
    Renew {
        run: Id,
        way: Way,
    },
    /// The finish, release or commit is sent.
    End {
        run: Id,
        way: Way,
    },
    /// What was late is executed; its answer arrives.
    ExecuteClaim {
        caller: u8,
    },
    DeliverClaim {
        caller: u8,
    },
    ExecuteRenewal {
        run: Id,
    },
    DeliverRenewal {
        run: Id,
    },
    ExecuteEnding {
        run: Id,
    },
    DeliverEnding {
        run: Id,
    },
    GiveUpWaiting {
        run: Id,
    },
    FindOut {
        run: Id,
    },
    Sweep,
    Tick,
    Wake {
        at: u8,
    },
    Reconnect {
        at: u8,
    },
    /// From here on: the faults, beside the ways of statements.
    Crash {
        at: u8,
    },
    Stall {
        at: u8,
    },
    CutOff {
        at: u8,
    },
    DatabaseAway,
    FailOver {
        forgets: bool,
    },
    Jump {
        forward: bool,
    },
    GiveUp {
        run: Id,
    },
    AskStandby {
        run: Id,
    },
}

impl Action {
    pub fn is_fault(self) -> bool {
        match self {
            Self::Ask { way, .. } | Self::Renew { way, .. } | Self::End { way, .. } => way != Way::Prompt,
            Self::Crash { .. }
            | Self::Stall { .. }
            | Self::CutOff { .. }
            | Self::DatabaseAway
            | Self::FailOver { .. }
            | Self::Jump { .. }
            | Self::GiveUp { .. }
            | Self::AskStandby { .. } => true,
            _ => false,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{self:?}");
        let text = text.replace(", way: Prompt", "").replace("way: ", "");
        f.write_str(&text.replace(" { ", "(").replace(" }", ")").replace(": ", " "))
    }
}
