//! A call of a script, ready to be sent.

use std::sync::Arc;

use redis::{Cmd, Value};
use uuid::Uuid;

use super::script::Script;

/// A script and its arguments, about the record of one key.
#[derive(Debug)]
pub(super) struct Command {
    script: &'static Script,
    /// The name of the script, then that of the key, and the arguments.
    evalsha: Cmd,
    kind: Kind,
}

/// What a script's answer promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// That the key is its caller's, or an outcome.
    Reserve,
    /// That something is written.
    Write,
    /// Nothing that a failover could break.
    Other,
}

impl Command {
    pub(super) fn new(script: &'static Script, key: &str, kind: Kind) -> Self {
        let mut evalsha = redis::cmd("EVALSHA");
        evalsha.arg(&script.sha1).arg(1).arg(key);
        Self { script, evalsha, kind }
    }

    pub(super) fn arg(mut self, arg: impl redis::ToRedisArgs) -> Self {
        self.evalsha.arg(arg);
        self
    }

    pub(super) fn evalsha(&self) -> &Cmd {
        &self.evalsha
    }

    /// The same with the script itself, for a server that has not seen it, or has forgotten it.
    pub(super) fn eval(&self) -> Cmd {
        let mut eval = redis::cmd("EVAL");
        eval.arg(&self.script.source);
        for arg in self.evalsha.args_iter().skip(2) {
            if let redis::Arg::Simple(arg) = arg {
                eval.arg(arg);
            }
        }
        eval
    }

    /// Whether its caller will rely on something that this answer says was written.
    pub(super) fn promises(&self, answer: &Value) -> bool {
        match (self.kind, answer) {
            (Kind::Reserve, Value::Array(parts)) => matches!(parts.first(), Some(Value::Int(0 | 3))),
            (Kind::Write, Value::Int(number)) => *number > 0,
            _ => false,
        }
    }

    pub(super) fn is_reservation(&self, answer: &Value) -> bool {
        self.kind == Kind::Reserve
            && matches!(answer, Value::Array(parts) if matches!(parts.first(), Some(Value::Int(0))))
    }
}

/// A call of a script, shared by its caller and whoever sends it.
#[derive(Debug, Clone)]
pub(super) struct ScriptCall {
    pub(super) command: Arc<Command>,
    pub(super) bytes: usize,
    pub(super) is_urgent: bool,
    /// Of a reservation: what it is asked for with.
    pub(super) reservation: Option<Asked>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) token: Uuid,
    pub(super) request_hash: [u8; 32],
}

impl ScriptCall {
    pub(super) fn new(command: Command) -> Self {
        Self { command: Arc::new(command), bytes: 0, is_urgent: false, reservation: None }
    }

    pub(super) fn with_bytes(self, bytes: usize) -> Self {
        Self { bytes, ..self }
    }

    pub(super) fn urgently(self) -> Self {
        Self { is_urgent: true, ..self }
    }

    pub(super) fn with_reservation(self, asked: Asked) -> Self {
        Self { reservation: Some(asked), ..self }
    }
}
